// Scan-resistant: what is let in has to have been asked for more often than what it drives out.
import type { Random } from "@holdfast/core";
import { systemRandom } from "@holdfast/core";
import { FrequencySketch, hashOf } from "./frequency-sketch.ts";
import { HillClimber } from "./hill-climber.ts";
import type { Node } from "./segment.ts";
import { Segment } from "./segment.ts";
import type { EntryTable, TableBounds } from "./table.ts";

/** Share of the main part that is kept for what was used again. */
const PROTECTED_SHARE = 0.8;

/** From this frequency on, one that has lost is let in all the same now and then. */
const WARM = 6;
const WARM_CHANCE = 1 / 128;

/**
 * W-TinyLFU (Einziger, Friedman and Manes, 2017): new entries go through a small window, by recency. One that leaves it
 * takes the place of the least recently used of the main part only if a sketch has seen it more often. How large the
 * window is, hit rates decide (Einziger, Eytan, Friedman and Manes, 2018). A large entry has to outweigh all whose place it
 * takes (Einziger, Eytan, Friedman and Manes, 2021).
 */
export function tinyLfuTable<Entry>(options: TableBounds): EntryTable<Entry> {
  return new TinyLfuTable(options);
}

class TinyLfuTable<Entry> implements EntryTable<Entry> {
  readonly #nodes = new Map<string, Node<Entry>>();
  /** New, and not yet compared with anybody. */
  readonly #window = new Segment<Entry>();
  /** Used once since it was let in, or long ago. */
  readonly #probation = new Segment<Entry>();
  readonly #protected = new Segment<Entry>();
  readonly #sketch = new FrequencySketch();
  readonly #climber: HillClimber;
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #random: Random;
  /** Unknown outside, so that nobody can choose keys that share their counters. */
  readonly #seed: number;

  constructor({ maxEntries, maxBytes, random = systemRandom }: TableBounds) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes > 0 ? maxBytes : Infinity;
    this.#climber = new HillClimber(maxEntries);
    this.#random = random;
    this.#seed = (random() * 2 ** 32) | 0;
  }

  get size(): number {
    return this.#nodes.size;
  }

  get bytes(): number {
    return this.#window.bytes + this.#probation.bytes + this.#protected.bytes;
  }

  get(id: string): Entry | undefined {
    const node = this.#nodes.get(id);
    this.#climber.count(node !== undefined);
    if (node === undefined) return undefined;
    this.#use(node);
    return node.entry;
  }

  peek(id: string): Entry | undefined {
    return this.#nodes.get(id)?.entry;
  }

  set(id: string, entry: Entry, size = 1): void {
    const bytes = this.#maxBytes === Infinity ? 0 : size;
    if (bytes > this.#maxBytes) {
      this.delete(id);
      return;
    }
    const known = this.#nodes.get(id);
    if (known === undefined) {
      const hash = hashOf(id, this.#seed);
      const node: Node<Entry> = {
        id,
        hash,
        entry,
        bytes,
        segment: undefined,
        newer: undefined,
        older: undefined,
      };
      this.#nodes.set(id, node);
      this.#sketch.grow(this.#nodes.size);
      this.#sketch.add(hash);
      this.#window.add(node);
    } else {
      known.segment!.bytes += bytes - known.bytes;
      known.bytes = bytes;
      known.entry = entry;
      this.#use(known);
    }
    this.#makeRoom();
  }

  delete(id: string): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined) return false;
    this.#drop(node);
    return true;
  }

  clear(): void {
    this.#nodes.clear();
    for (const segment of [this.#window, this.#probation, this.#protected]) segment.clear();
    this.#sketch.clear();
  }

  #use(node: Node<Entry>): void {
    this.#sketch.add(node.hash);
    const { segment } = node;
    if (segment !== this.#probation) {
      segment!.renew(node);
      return;
    }
    this.#probation.remove(node);
    this.#protected.add(node);
    const share = PROTECTED_SHARE * (1 - this.#climber.share);
    while (this.#isOver(this.#protected, share)) {
      const { oldest } = this.#protected;
      this.#protected.remove(oldest!);
      this.#probation.add(oldest!);
    }
  }

  #makeRoom(): void {
    while (this.#isOver(this.#window, this.#climber.share)) {
      const candidate = this.#window.oldest!;
      this.#window.remove(candidate);
      this.#probation.add(candidate);
      if (this.#isFull(0, 0)) this.#contest(candidate);
    }
    while (this.#isFull(0, 0)) this.#drop(this.#nextVictim(undefined) ?? this.#window.oldest!);
  }

  /** Either it goes, or all that have to make room for it. */
  #contest(candidate: Node<Entry>): void {
    const frequency = this.#sketch.estimate(candidate.hash);
    let victims = 0;
    let bytes = 0;
    let outweighed = 0;
    // Each counts for one at least, so that only a few are looked at.
    for (
      let victim = this.#nextVictim(candidate);
      victim !== undefined && outweighed < frequency && this.#isFull(victims, bytes);
      victim = this.#afterVictim(victim, candidate)
    ) {
      outweighed += Math.max(1, this.#sketch.estimate(victim.hash));
      bytes += victim.bytes;
      victims += 1;
    }
    const isEnough = !this.#isFull(victims, bytes);
    if (!isEnough || (frequency <= outweighed && !this.#isLucky(frequency))) this.#drop(candidate);
    else for (; victims > 0; victims -= 1) this.#drop(this.#nextVictim(candidate)!);
  }

  /** Nobody who knows what is frequent can keep everything else out for good. */
  #isLucky(frequency: number): boolean {
    return frequency >= WARM && this.#random() < WARM_CHANCE;
  }

  #nextVictim(candidate: Node<Entry> | undefined): Node<Entry> | undefined {
    const { oldest } = this.#probation;
    const first = oldest === candidate ? candidate?.newer : oldest;
    return first ?? this.#protected.oldest;
  }

  /** The one after it in the order of going. */
  #afterVictim(victim: Node<Entry>, candidate: Node<Entry>): Node<Entry> | undefined {
    const next = victim.newer === candidate ? candidate.newer : victim.newer;
    if (next !== undefined) return next;
    return victim.segment === this.#probation ? this.#protected.oldest : undefined;
  }

  /** Whether it is full even when so much of it goes. */
  #isFull(entries: number, bytes: number): boolean {
    return this.#nodes.size - entries > this.#maxEntries || this.bytes - bytes > this.#maxBytes;
  }

  #isOver(segment: Segment<Entry>, share: number): boolean {
    return (
      segment.size > Math.max(1, Math.floor(share * this.#maxEntries)) ||
      segment.bytes > share * this.#maxBytes
    );
  }

  #drop(node: Node<Entry>): void {
    node.segment!.remove(node);
    this.#nodes.delete(node.id);
  }
}
