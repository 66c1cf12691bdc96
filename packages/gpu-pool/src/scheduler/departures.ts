// Models on their way out: their memory is freed once nothing refers to them, and some are then forgotten.
import type { SchedulerCommand, ScheduledRequest } from "./contract.ts";
import type { Placement } from "./placement.ts";
import type { ModelState } from "./state.ts";

export class Departures<Request extends ScheduledRequest> {
  /** Whether each is to be forgotten. */
  readonly #leaving = new Map<ModelState<Request>, boolean>();

  constructor(
    private readonly placement: Placement<Request>,
    private readonly emit: (command: SchedulerCommand<Request>) => void,
    private readonly forget: (model: ModelState<Request>) => void,
  ) {}

  get size(): number {
    return this.#leaving.size;
  }

  add(model: ModelState<Request>, isForgotten: boolean): void {
    this.#leaving.set(model, isForgotten || this.#leaving.get(model) === true);
  }

  /** Something has happened: some may be able to go now. */
  look(now: number): void {
    for (const [model, isForgotten] of this.#leaving) {
      if (model.held > 0 || model.wantedBy.size > 0 || !this.placement.vacate(model, now)) continue;
      this.#leaving.delete(model);
      if (isForgotten) this.forget(model);
      this.emit({ type: "gone", model: model.spec.key });
    }
  }
}
