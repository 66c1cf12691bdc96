// Whether a history of takes can have happened one at a time: Wing & Gong's search (1993), with what was seen remembered
// (Lowe, 2017).

/** One take, as its caller saw it. Times are of one clock. */
export interface TakeRecord {
  readonly cost: number;
  readonly invokedAt: bigint;
  /** `undefined`: no answer came; it may have happened at any time after it was asked, or not at all. */
  readonly answer: { readonly at: bigint; readonly allowed: boolean; readonly remaining: number } | undefined;
}

/**
 * Whether there is an order in which each take happened between its question and its answer, and each answer is what a
 * counter up to `capacity`, of which nothing comes back, would have said.
 */
export function isLinearizable(history: readonly TakeRecord[], capacity: number): boolean {
  const takes = [...history].sort((a, b) => (a.invokedAt < b.invokedAt ? -1 : 1));
  const answered = takes.reduce(
    (mask, take, index) => (take.answer ? mask | (1n << BigInt(index)) : mask),
    0n,
  );
  const seen = new Set<string>();
  const search = (done: bigint, used: number): boolean => {
    if ((done & answered) === answered) return true;
    const id = `${done}:${used}`;
    if (seen.has(id)) return false;
    seen.add(id);
    // Whatever was answered first has to come before all that was asked later.
    let firstAnswer: bigint | undefined;
    for (const [index, { answer }] of takes.entries())
      if (
        answer !== undefined &&
        !(done & (1n << BigInt(index))) &&
        (firstAnswer === undefined || answer.at < firstAnswer)
      )
        firstAnswer = answer.at;
    for (const [index, take] of takes.entries()) {
      const bit = 1n << BigInt(index);
      if ((done & bit) !== 0n) continue;
      if (firstAnswer !== undefined && take.invokedAt > firstAnswer) break;
      const fits = used + take.cost <= capacity;
      const after = fits ? used + take.cost : used;
      const isSo =
        take.answer === undefined ||
        (take.answer.allowed === fits && take.answer.remaining === capacity - after);
      if (isSo && search(done | bit, after)) return true;
    }
    return false;
  };
  return search(0n, 0);
}
