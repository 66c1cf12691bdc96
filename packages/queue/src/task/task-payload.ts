// A worker's way from what is stored to what a handler takes, and from what it returns to what is stored.
import type { ClaimedTask } from "../store/store.ts";
import type { PayloadFormat } from "./payload-format.ts";
import type { Payload } from "./payload.ts";
import { decodePayload } from "./payload.ts";
import { readMeta } from "./task-meta.ts";
import type { TaskDefinition } from "./task.ts";

/** A task's own definition, whatever its types. */
type AnyTask = TaskDefinition<never, unknown, never, unknown>;

/**
 * The input of a claimed task: opened, brought to the version of its definition, and checked by its schema.
 *
 * @throws PayloadVersionError, InvalidPayloadError, what the codecs and the upcasters throw.
 */
export async function inputOf(
  { id, name, input, meta }: ClaimedTask,
  task: AnyTask,
  payloads: PayloadFormat,
  signal?: AbortSignal,
): Promise<unknown> {
  const opened = payloads.plain ? input : await payloads.open(input, { id, part: "input", name }, signal);
  let value = decodePayload(opened);
  const version = readMeta(meta).v ?? 1;
  if (version !== task.version) value = await task.upcast(value, version);
  return task.checksInput ? task.parseInput(value as never) : value;
}

/**
 * What a handler returned, as it is stored.
 *
 * @throws InvalidPayloadError, UnserializableError, PayloadTooLargeError, what the codecs throw.
 */
export async function resultOf(
  value: unknown,
  id: string,
  task: AnyTask,
  payloads: PayloadFormat,
  signal?: AbortSignal,
): Promise<Payload> {
  const encoded = payloads.encode(value);
  // As it will be read, so that what it does not survive is found out here.
  if (task.checksOutput) await task.parseOutput(decodePayload(encoded) as never);
  return payloads.plain ? encoded : payloads.seal(encoded, { id, part: "result", name: "" }, signal);
}
