// A list that keeps the order in which items came, and from which any of them can be taken in O(1).

export interface ListNode<T> {
  readonly item: T;
  before: ListNode<T> | undefined;
  behind: ListNode<T> | undefined;
}

export class LinkedList<T> {
  #first: ListNode<T> | undefined;
  #last: ListNode<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get firstNode(): ListNode<T> | undefined {
    return this.#first;
  }

  get first(): T | undefined {
    return this.#first?.item;
  }

  /** Adds an item at the end. The node takes it out again. */
  append(item: T): ListNode<T> {
    const node: ListNode<T> = { item, before: this.#last, behind: undefined };
    if (this.#last === undefined) this.#first = node;
    else this.#last.behind = node;
    this.#last = node;
    this.#size += 1;
    return node;
  }

  /** Takes out a node that is in this list. */
  delete(node: ListNode<T>): void {
    if (node.before === undefined) this.#first = node.behind;
    else node.before.behind = node.behind;
    if (node.behind === undefined) this.#last = node.before;
    else node.behind.before = node.before;
    this.#size -= 1;
  }

  /** Items behind `after`, or all; at most `max`. */
  page(max: number, after?: ListNode<T>): T[] {
    const items: T[] = [];
    let node = after === undefined ? this.#first : after.behind;
    for (; node !== undefined && items.length < max; node = node.behind) items.push(node.item);
    return items;
  }

  /** The last items that are so, the last one first; at most `max`. */
  latest(max: number, isSo: (item: T) => boolean): T[] {
    const items: T[] = [];
    for (let node = this.#last; node !== undefined && items.length < max; node = node.before)
      if (isSo(node.item)) items.push(node.item);
    return items;
  }
}
