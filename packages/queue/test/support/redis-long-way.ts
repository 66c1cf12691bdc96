// The script without its quick ways: see lua/quick.lua.
import { expect } from "vitest";

/** All that is done the quick way needs this. */
const IS_CALM = "local is_calm = counters and";

/** Changes the script so that all goes the long way. */
export function longWay(lua: string): string {
  if (lua.includes("ZPOPMIN")) expect(lua).toContain(IS_CALM);
  return lua.replace(IS_CALM, "local is_calm = false and");
}
