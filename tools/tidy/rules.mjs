// All rules of the house.
import { bannedCalls } from "./rules/banned-calls.mjs";
import { bannedSyntax } from "./rules/banned-syntax.mjs";
import { cycles } from "./rules/cycles.mjs";
import { deadFiles } from "./rules/dead-files.mjs";
import { dependenciesWith, readReasons } from "./rules/dependencies.mjs";
import { entriesAgree } from "./rules/entries-agree.mjs";
import { fileLength } from "./rules/file-length.mjs";
import { fileNames } from "./rules/file-names.mjs";
import { floors } from "./rules/floors.mjs";
import { installScriptsWith } from "./rules/install-scripts.mjs";
import { leftovers } from "./rules/leftovers.mjs";
import { machinePaths } from "./rules/machine-paths.mjs";
import { ownIndex } from "./rules/own-index.mjs";
import { packageShape } from "./rules/package-shape.mjs";
import { portableMain } from "./rules/portable-main.mjs";
import { testImports } from "./rules/test-imports.mjs";

/** @returns {readonly import("./tree.mjs").Rule[]} */
export function houseRules() {
  const { runtime, installScripts } = readReasons();
  return [
    floors,
    cycles,
    ownIndex,
    bannedCalls,
    bannedSyntax,
    leftovers,
    fileLength,
    fileNames,
    deadFiles,
    testImports,
    portableMain,
    packageShape,
    entriesAgree,
    dependenciesWith(runtime),
    installScriptsWith(installScripts),
    machinePaths,
  ];
}
