// The script as it is sent: its parts as functions inside one another, and constants in the place of their names.
import ADDING from "./lua/adding.lua";
import CORE from "./lua/core.lua";
import GROUPS from "./lua/groups.lua";
import OTHER_VERBS from "./lua/other-verbs.lua";
import OWN_ACCORD from "./lua/own-accord.lua";
import QUEUE_VERBS from "./lua/queue-verbs.lua";
import QUICK_ADDING from "./lua/quick-adding.lua";
import QUICK_WORKING from "./lua/quick-working.lua";
import QUICK from "./lua/quick.lua";
import RECORDS from "./lua/records.lua";
import RULES from "./lua/rules.lua";
import RUN from "./lua/run.lua";
import SPECIAL from "./lua/special.lua";
import STATE from "./lua/state.lua";
import TABLES from "./lua/tables.lua";
import WORKING from "./lua/working.lua";

/** Lines such as `local DUE, ORDER = 11, 16`. */
const CONSTANTS = /^local ([A-Z][A-Z_, ]*) = (.+)$/gm;

/**
 * Redis runs the whole text each time, so what matters is what it costs to make its functions. Lua 5.1 searches all
 * names that are in use for each name of an enclosing function that a function uses, but finds those of the function
 * around that one at once. Hence functions inside functions, of which most runs need but the outer ones, and no names for
 * constants.
 */
export function scriptText(): string {
  const text = `${STATE}
${QUICK}
${QUICK_ADDING}
${QUICK_WORKING}
${TABLES}
local function run()
${CORE}
make_adding = function()
${ADDING}
end
make_working = function()
${WORKING}
end
make_rest = function()
${RECORDS}
${GROUPS}
${RULES}
${OWN_ACCORD}
${SPECIAL}
${OTHER_VERBS}
${QUEUE_VERBS}
end
${RUN}
end
return run()
`;
  return withoutConstants(text.replace(/^\s*--.*\n/gm, ""));
}

/** What constants are set to may name others that stand before it. */
function withoutConstants(text: string): string {
  const values = new Map<string, string>();
  const inPlace = (some: string): string =>
    some.replace(/\b[A-Z][A-Z_]*[A-Z]\b/g, (name) => values.get(name) ?? name);
  const rest = text.replace(CONSTANTS, (_, names: string, list: string) => {
    const all = names.split(", ");
    const parts = all.length > 1 ? list.split(", ") : [list];
    for (const [index, name] of all.entries()) values.set(name, inPlace(parts[index]!));
    return "";
  });
  return inPlace(rest);
}
