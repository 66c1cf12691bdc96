// Brings a Node binary of a given major version, once, into `.cache/nodes`.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The `node` package only picks one of the packages named here in its install script, and we run no install
 * scripts; so the one with the binary is installed directly.
 *
 * @param {string} platform - As `process.platform`.
 * @param {string} arch - As `process.arch`.
 */
export function binaryPackage(platform, arch) {
  return `node-${platform === "win32" ? "win" : platform}-${arch}`;
}

/**
 * @param {string} cache - Folder that keeps the binaries.
 * @param {number} major
 * @returns {string} Path of the binary.
 */
export function nodeBinary(cache, major) {
  const folder = join(cache, String(major));
  const name = binaryPackage(process.platform, process.arch);
  const binary = join(
    folder,
    "node_modules",
    name,
    "bin",
    process.platform === "win32" ? "node.exe" : "node",
  );
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
    const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    execFileSync("npm", [...args, `${name}@${major}`], {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
    });
  }
  const version = versionOf(binary);
  if (!version.startsWith(`v${major}.`)) throw new Error(`${binary} is Node ${version}, not ${major}`);
  return binary;
}

/** @param {string} binary */
export function versionOf(binary) {
  return execFileSync(binary, ["--version"], { encoding: "utf8" }).trim();
}
