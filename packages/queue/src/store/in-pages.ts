// Long lists, a page at a time, so that others get their turn between them.

/** The answers to all, asked for one page after the other. */
export async function inPages<Item, Answer>(
  items: readonly Item[],
  size: number,
  ask: (page: readonly Item[]) => Promise<readonly Answer[]>,
): Promise<readonly Answer[]> {
  if (items.length > 0 && items.length <= size) return ask(items);
  const answers: Answer[] = [];
  for (let at = 0; at < items.length; at += size)
    for (const answer of await ask(items.slice(at, at + size))) answers.push(answer);
  return answers;
}
