// Does something to all dead letters of a queue that were there when it began, a page at a time.
import type { Queue } from "../queue/queue-contract.ts";
import type { RedriveOutcome } from "../store/store.ts";

export interface SweepOptions {
  /** Most letters to be taken. */
  readonly max: number;
  /** Asked before each page. */
  readonly isOver?: () => boolean;
}

const PAGE = 200;

/** Redrives dead letters. Answers how many are ready again; those whose dedup key is taken stay. */
export function redriveAll(queue: Queue, options: SweepOptions): Promise<number> {
  return sweep(queue, options, async (ids) =>
    (await queue.store.redrive(queue.name, ids)).map((outcome: RedriveOutcome) => outcome === "redriven"),
  );
}

/** Forgets dead letters. Answers how many. */
export function discardAll(queue: Queue, options: SweepOptions): Promise<number> {
  return sweep(queue, options, (ids) => queue.store.discard(queue.name, ids));
}

async function sweep(
  queue: Queue,
  { max, isOver }: SweepOptions,
  take: (ids: readonly string[]) => Promise<readonly boolean[]>,
): Promise<number> {
  // One that fails again meanwhile is behind them all, and not meant.
  let left = Math.min(max, (await queue.stats()).failed);
  let taken = 0;
  /** The last letter that stayed: those before it have been looked at. */
  let after: string | undefined;
  while (left > 0) {
    if (isOver?.() === true) break;
    const page = await queue.deadLetters({
      max: Math.min(PAGE, left),
      ...(after === undefined ? {} : { after }),
    });
    if (page.length === 0) break;
    const ids = page.map(({ id }) => id);
    const outcomes = await take(ids);
    taken += outcomes.filter(Boolean).length;
    left -= page.length;
    after = ids.findLast((_, index) => outcomes[index] !== true) ?? after;
  }
  return taken;
}
