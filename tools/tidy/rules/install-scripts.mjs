// No dependency runs code while it is installed, but for those named with a reason.

/**
 * @param {Readonly<Record<string, string>>} allowed
 * @returns {import("../tree.mjs").Rule}
 */
export function installScriptsWith(allowed) {
  return {
    name: "install-scripts",
    check(tree) {
      const file = "package-lock.json";
      if (!tree.has(file)) return [];
      return Object.entries(tree.json(file).packages ?? {})
        .filter(([, one]) => /** @type {any} */ (one).hasInstallScript === true)
        .map(([path]) => path.replace(/^.*node_modules\//, ""))
        .filter((name) => !(name in allowed))
        .map((name) => ({
          file,
          message: `${name} has an install script: drop it, or allow it with a reason`,
        }));
    },
  };
}
