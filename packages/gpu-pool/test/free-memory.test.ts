import { describe, expect, it } from "vitest";
import { FreeMemory } from "../src/served/free-memory.ts";

/** Measures when it is told to, and what it was told. */
function measuring(): {
  readonly memory: FreeMemory;
  readonly asked: ((freeBytes: number | undefined | Error) => Promise<void>)[];
  readonly told: number[];
} {
  const asked: ((freeBytes: number | undefined | Error) => Promise<void>)[] = [];
  const told: number[] = [];
  const measure = (): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      asked.push(async (freeBytes) => {
        if (freeBytes instanceof Error) reject(freeBytes);
        else resolve(freeBytes);
        await new Promise(setImmediate);
      });
    });
  return { memory: new FreeMemory(measure, (freeBytes) => told.push(freeBytes)), asked, told };
}

describe("FreeMemory", () => {
  it("measures one at a time", async () => {
    const { memory, asked, told } = measuring();
    memory.measure();
    memory.measure();
    expect(asked).toHaveLength(1);
    await asked[0]!(5);
    memory.measure();
    await asked[1]!(6);
    expect(told).toEqual([5, 6]);
  });

  it("measures again what was measured while a load ended: it may be of before", async () => {
    const { memory, asked, told } = measuring();
    memory.measure();
    memory.moved();
    await asked[0]!(5);
    expect(told).toEqual([]);
    await asked[1]!(1);
    expect(told).toEqual([1]);
  });

  it("tells nothing where nothing can be said, and is asked again", async () => {
    const { memory, asked, told } = measuring();
    memory.measure();
    await asked[0]!(undefined);
    memory.measure();
    await asked[1]!(new Error("the driver is busy"));
    memory.measure();
    await asked[2]!(7);
    expect(told).toEqual([7]);
  });
});
