// What a queue says of all its tasks, as its options say it.
import type { Clock, OptionReader } from "@holdfast/core";
import type { PayloadFormat } from "../task/payload-format.ts";
import { uuidV7 } from "../task/task-id.ts";
import { ATTEMPTS, LEASE_LOSSES, TASK_DEFAULTS } from "../task/task.ts";
import type { NewTaskSettings } from "./new-task.ts";
import type { QueueOptions } from "./queue-contract.ts";

/** @throws InvalidOptionError */
export function newTaskSettings(
  check: OptionReader,
  { taskId, attempts, leaseLosses, expiresIn, groupLimit, weightOf }: QueueOptions,
  { clock, payloads }: { readonly clock: Clock; readonly payloads: PayloadFormat },
): NewTaskSettings {
  return {
    taskId: check.function("taskId", taskId) ?? uuidV7(),
    now: () => clock.now(),
    payloads,
    defaults: {
      attempts: check.integer("attempts", attempts, ATTEMPTS, TASK_DEFAULTS.attempts),
      leaseLosses: check.integer("leaseLosses", leaseLosses, LEASE_LOSSES, TASK_DEFAULTS.leaseLosses),
      ...(expiresIn === undefined ? {} : { expiresIn: check.duration("expiresIn", expiresIn) }),
    },
    groupLimit: check.function("groupLimit", groupLimit),
    weightOf: check.function("weightOf", weightOf),
  };
}
