import { readFileSync } from "node:fs";
import * as gpuPoolExports from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const readme = read("../README.md");

/** The members of an interface. */
function membersOf(source: string, name: string): readonly string[] {
  const body = source.split(`export interface ${name} {`)[1]!.split("\n}")[0]!;
  return [...body.matchAll(/^ {2}readonly (\w+)/gm)].map(([, member]) => member!);
}

const isNamed = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(readme);

describe("the README of gpu-pool", () => {
  it("names every option of a pool, of its scaling, of a model and of a request", () => {
    const options = [
      ...membersOf(read("../src/contract.ts"), "GpuPoolOptions"),
      ...membersOf(read("../src/contract.ts"), "AutoscaleOptions"),
      ...membersOf(read("../src/contract.ts"), "RunModelOptions"),
      ...membersOf(read("../src/model.ts"), "ModelOptions"),
    ];
    expect(options).toContain("affinity");
    expect(options.filter((option) => !isNamed(option))).toEqual([]);
  });

  it("names every function and constant that is exported", () => {
    // Errors are named by their codes.
    const names = Object.keys(gpuPoolExports).filter((name) => !name.endsWith("Error"));
    expect(names).toContain("gpuPoolMetrics");
    expect(names.filter((name) => !isNamed(name))).toEqual([]);
  });
});
