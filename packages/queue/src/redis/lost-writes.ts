// Notices a server that knows of less than it did: a failover to a replica that had less, a restart, a flush.
import { channel } from "@holdfast/core";

/** Fields of `holdfast:queue:writes_lost`. */
export interface WritesLostEvent {
  readonly queue: string;
  readonly store: "redis";
  /** Tasks added, started, ended and tried again, of which this process has been told. */
  readonly known: number;
  /** Those that the server knows of now. */
  readonly left: number;
}

const writesLost = /* @__PURE__ */ channel<WritesLostEvent>("queue", "writes_lost");

/** How much has happened in a queue, as its server has said. */
export class Happened {
  #known = 0;

  constructor(private readonly queue: string) {}

  get known(): number {
    return this.#known;
  }

  /**
   * Takes an answer, and whether it tells of a loss. Answers may overtake each other, so they are held against what was
   * known when they were asked for.
   */
  isLess(left: number, known: number): boolean {
    const isLess = left < known && left < this.#known;
    this.#known = isLess ? left : Math.max(this.#known, left);
    if (isLess && writesLost.hasSubscribers)
      writesLost.publish({ queue: this.queue, store: "redis", known, left });
    return isLess;
  }
}
