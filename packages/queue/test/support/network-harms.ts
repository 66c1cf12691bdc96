// What a network does to a store whose clients go through a proxy.
import { setTimeout as sleep } from "node:timers/promises";
import type { startProxy } from "../../../../tools/services/index.mjs";

type Proxy = Awaited<ReturnType<typeof startProxy>>;

/** How long connections stay cut, in milliseconds. */
const CUT_MS = 30;

/** Each by what a test says of it. */
export const NETWORK_HARMS: readonly (readonly [harm: string, strike: (proxy: Proxy) => void])[] = [
  ["an answer is lost", (proxy) => proxy.dropReplies(1)],
  [
    "all connections are cut",
    (proxy) => {
      proxy.cut();
      void sleep(CUT_MS).then(() => proxy.heal());
    },
  ],
];

/**
 * Adds tasks in rounds of ten, and strikes in every other one of them.
 *
 * @returns Their IDs.
 */
export async function addedInHarm(
  proxy: Proxy,
  strike: (proxy: Proxy) => void,
  rounds: number,
  added: (id: string, index: number) => Promise<unknown>,
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const batch = Array.from({ length: 10 }, (_, index) => `task-${round}-${index}`);
    if (round % 2 === 0) strike(proxy);
    await Promise.all(batch.map(added));
    ids.push(...batch);
  }
  proxy.heal();
  return ids;
}
