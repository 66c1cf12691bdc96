// A worker's way from what is stored to what a handler takes, and from what it returns to what is stored.
import type { ClaimedTask, StoredInput } from "../store/store.ts";
import type { PayloadFormat } from "./payload-format.ts";
import type { Payload } from "./payload.ts";
import { decodePayload } from "./payload.ts";
import { readMeta } from "./task-meta.ts";
import type { TaskDefinition } from "./task.ts";

/** What is known of a stored input. */
type InputOfTask = StoredInput & Pick<ClaimedTask, "id">;
/** A task's own definition, whatever its types. */
type AnyTask = TaskDefinition<never, unknown, never, unknown>;

/**
 * The input of a claimed task: opened, brought to the version of its definition, and checked by its schema. A promise of
 * it only where something has to be waited for.
 *
 * @throws PayloadVersionError, InvalidPayloadError, what the codecs and the upcasters throw.
 */
export function inputOf(
  claimed: InputOfTask,
  task: AnyTask,
  payloads: PayloadFormat,
  signal?: AbortSignal,
): unknown {
  const version = claimed.meta === undefined ? 1 : (readMeta(claimed.meta).v ?? 1);
  if (payloads.plain && version === task.version && !task.checksInput)
    return payloads.read(claimed.input, { id: claimed.id, part: "input", name: claimed.name });
  return preparedInput(claimed, version, task, payloads, signal);
}

async function preparedInput(
  { id, name, input }: InputOfTask,
  version: number,
  task: AnyTask,
  payloads: PayloadFormat,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const opened = await payloads.open(input, { id, part: "input", name }, signal);
  let value = decodePayload(opened);
  if (version !== task.version) value = await task.upcast(value, version);
  return task.checksInput ? task.parseInput(value as never) : value;
}

/**
 * What a handler returned, as it is stored. A promise of it only where something has to be waited for.
 *
 * @throws InvalidPayloadError, UnserializableError, PayloadTooLargeError, what the codecs throw.
 */
export function resultOf(
  value: unknown,
  id: string,
  task: AnyTask,
  payloads: PayloadFormat,
  signal?: AbortSignal,
): Payload | Promise<Payload> {
  const encoded = payloads.encode(value);
  if (payloads.plain && !task.checksOutput) return encoded;
  return checkedResult(encoded, id, task, payloads, signal);
}

async function checkedResult(
  encoded: Payload,
  id: string,
  task: AnyTask,
  payloads: PayloadFormat,
  signal: AbortSignal | undefined,
): Promise<Payload> {
  // As it will be read, so that what it does not survive is found out here.
  if (task.checksOutput) await task.parseOutput(decodePayload(encoded) as never);
  return payloads.seal(encoded, { id, part: "result", name: "" }, signal);
}
