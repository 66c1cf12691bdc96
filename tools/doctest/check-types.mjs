// Checks the types of all examples in one strict program, against the sources behind the public entries.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** @typedef {import("./extract.mjs").Example} Example */

const TYPE_ROOTS = [fileURLToPath(new URL("../../node_modules/@types", import.meta.url))];

/**
 * @param {string} root
 * @param {readonly Example[]} examples
 * @returns {string[]} Each fault with its place in the document.
 */
export function checkTypes(root, examples) {
  const named = new Map(examples.map((one, index) => [join(root, `.cache/doctest/${index}.ts`), one]));
  const options = optionsAt(root);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  /** @param {string} file */
  const codeOf = (file) => {
    const example = named.get(file);
    return example && `${example.code}\nexport {};\n`;
  };
  host.fileExists = (file) => named.has(file) || fileExists(file);
  host.readFile = (file) => codeOf(file) ?? readFile(file);
  host.getSourceFile = (file, version, ...rest) => {
    const code = codeOf(file);
    return code === undefined
      ? getSourceFile(file, version, ...rest)
      : ts.createSourceFile(file, code, version);
  };
  const program = ts.createProgram([...named.keys()], options, host);
  return [...named.keys()].flatMap((file) => {
    const source = program.getSourceFile(file);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      (one) => `${placeOf(named, one)} ${ts.flattenDiagnosticMessageText(one.messageText, " ")}`,
    );
  });
}

/**
 * @param {string} root
 * @returns {ts.CompilerOptions}
 */
function optionsAt(root) {
  const config = join(root, "tsconfig.json");
  const parsed = ts.sys.fileExists(config)
    ? ts.parseJsonConfigFileContent(ts.readConfigFile(config, ts.sys.readFile).config, ts.sys, root).options
    : {};
  return {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    strict: true,
    skipLibCheck: true,
    ...parsed,
    typeRoots: TYPE_ROOTS,
    types: ["node"],
    noEmit: true,
    isolatedDeclarations: false,
    declaration: false,
  };
}

/**
 * @param {ReadonlyMap<string, Example>} named
 * @param {ts.Diagnostic} diagnostic
 */
function placeOf(named, { file, start }) {
  const example = named.get(file?.fileName ?? "");
  const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line;
  return `${example?.file}:${(example?.line ?? 1) + line}`;
}
