// What `npm test` consists of, in order.

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string} command
 * @property {readonly string[]} args
 * @property {boolean} [vitest] - Counts its own tests; any other step counts as one.
 */

/** @type {readonly Step[]} */
const CHECKS = [
  { name: "lint", command: "npm", args: ["run", "--silent", "lint"] },
  { name: "types", command: "npm", args: ["run", "--silent", "typecheck"] },
  { name: "house", command: "node", args: ["tools/tidy/cli.mjs"] },
  { name: "systems matrix", command: "node", args: ["tools/systems/cli.mjs", "--check"] },
];

/** @type {readonly Step[]} */
const WITHOUT_SERVERS = [vitest("unit"), vitest("property"), vitest("types")];

/** @type {readonly Step[]} */
const WITH_SERVERS = [
  vitest("integration"),
  { name: "doc examples", command: "node", args: ["tools/doctest/cli.mjs"] },
  { name: "packages", command: "node", args: ["tools/packages/cli.mjs"] },
];

/**
 * @param {boolean} fast - Only what needs no server and less than a minute.
 * @returns {readonly Step[]}
 */
export function stepsOf(fast) {
  return fast ? [...CHECKS, ...WITHOUT_SERVERS] : [...CHECKS, ...WITHOUT_SERVERS, ...WITH_SERVERS];
}

/**
 * @param {string} project
 * @returns {Step}
 */
function vitest(project) {
  return {
    name: `${project} tests`,
    command: "npx",
    args: ["vitest", "run", "--project", project],
    vitest: true,
  };
}
