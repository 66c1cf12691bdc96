// Tasks and payloads as they are written to Redis and read from it.
import type { ClaimedTask, NewTask, StoredInput } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";

/** Before a name that UTF-8 cannot say, or that begins with what is not ASCII as rows do (see `lua/core.lua`), or with this. */
const ESCAPE = "\u0001";
const LAST_ASCII = 127;
const NO_BLOBS: readonly Uint8Array[] = [];

/** A name (an ID, a dedup key, a group, a worker) as text that survives UTF-8, and no two of them the same. */
export function toName(text: string): string {
  const isPlain = !(text.charCodeAt(0) > LAST_ASCII) && isWellFormed(text) && !text.startsWith(ESCAPE);
  return isPlain ? text : ESCAPE + JSON.stringify(text);
}

export function fromName(stored: string): string {
  return stored.startsWith(ESCAPE) ? (JSON.parse(stored.slice(1)) as string) : stored;
}

/** Text alone after "t"; with bytes, JSON of both after "b". */
export function toStoredPayload({ text, blobs }: Payload): string {
  if (blobs.length === 0 && isWellFormed(text)) return `t${text}`;
  return `b${JSON.stringify([text, ...blobs.map((blob) => Buffer.from(blob).toString("base64"))])}`;
}

export function fromStoredPayload(stored: string): Payload {
  if (stored.startsWith("t")) return { text: stored.slice(1), blobs: NO_BLOBS };
  const [text = "", ...blobs] = JSON.parse(stored.slice(1)) as readonly string[];
  return { text, blobs: blobs.map((blob) => new Uint8Array(Buffer.from(blob, "base64"))) };
}

/** What a worker needs to know of a task besides its lease and its payload, which is behind it: a line of JSON. */
export function toInputHead({ name, maxAttempts, meta }: NewTask): string {
  const head: InputHead = meta === undefined ? [name, maxAttempts] : [name, maxAttempts, meta];
  return `${JSON.stringify(head)}\n`;
}

/** What was written behind {@link toInputHead}, with what that says. */
export function fromInputBody(stored: string): StoredInput {
  const end = stored.indexOf("\n");
  const [name, , meta] = JSON.parse(stored.slice(0, end)) as InputHead;
  const input = fromStoredPayload(stored.slice(end + 1));
  return meta === undefined ? { name, input } : { name, input, meta };
}

/** Words of the answer for each claimed task, behind outcomes, the fence of the first and what was tried before. */
const CLAIM_WORDS = 2;
const CLAIMED_AT = 3;

/** 1 stands for none. */
export function claimedTasks(answer: unknown): readonly ClaimedTask[] {
  const claimed: ClaimedTask[] = [];
  if (answer === 1) return claimed;
  const words = answer as readonly unknown[];
  let fence = words[1] as number;
  const tries = triesOf(words[2]);
  let line = "";
  let head: InputHead = ["", 0];
  for (let at = CLAIMED_AT; at < words.length; at += CLAIM_WORDS) {
    const stored = words[at + 1] as string;
    const its = stored.slice(0, stored.indexOf("\n"));
    if (its !== line) {
      line = its;
      head = JSON.parse(line) as InputHead;
    }
    const [name, maxAttempts, meta] = head;
    const [attempt, backoffState, checkpoints] = tries?.[claimed.length] || FIRST_TRY;
    const input = fromStoredPayload(stored.slice(line.length + 1));
    const id = fromName(words[at] as string);
    const task = { id, fence, name, input, attempt, maxAttempts, backoffState, checkpoints };
    claimed.push(meta === undefined ? task : { ...task, meta });
    fence += 1;
  }
  return claimed;
}

type InputHead = readonly [name: string, maxAttempts: number, meta?: string];
type Tries = readonly [attempt: number, backoffState: number, checkpoints: number];

const FIRST_TRY: Tries = [1, 0, 0];

/** 0 stands for a task that is new, and for all if they are; nothing is there if there are none. */
function triesOf(more: unknown): readonly (Tries | 0)[] | undefined {
  return typeof more === "string" ? (JSON.parse(more) as readonly (Tries | 0)[]) : undefined;
}

/** Every Node that we run on can tell, at no cost for most texts; our library types are older. */
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
