// What the service is told when it is started: `--once`, where tasks are kept, and PORT.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { TaskPlace } from "./work/task-store.ts";

export interface CommandLine {
  /** Run the scenario and end. */
  readonly once: boolean;
  readonly port: number;
  readonly tasks: TaskPlace;
}

/** Beside this example, wherever it is started from. */
const JOURNAL = fileURLToPath(new URL("../.cache/tasks.journal", import.meta.url));

/** What was said; or, as text, what is wrong with it. */
export function readCommandLine(args: readonly string[], port: string | undefined): CommandLine | string {
  let values: Partial<Record<"journal" | "redis" | "postgres", string>> & {
    once?: boolean;
    memory?: boolean;
  };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        once: { type: "boolean" },
        memory: { type: "boolean" },
        journal: { type: "string" },
        redis: { type: "string" },
        postgres: { type: "string" },
      },
    }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const number = Number(port ?? 3_000);
  if (!Number.isInteger(number) || number < 0 || number > 65_535)
    return `PORT must be an integer from 0 to 65535, not ${JSON.stringify(port)}`;
  const { once = false, memory = false, journal, redis, postgres } = values;
  const places: TaskPlace[] = [];
  if (memory) places.push({ kind: "memory" });
  if (journal !== undefined) places.push({ kind: "journal", path: journal });
  if (redis !== undefined) places.push({ kind: "redis", url: redis });
  if (postgres !== undefined) places.push({ kind: "postgres", url: postgres });
  if (places.length > 1) return "of --memory, --journal, --redis and --postgres only one can be given";
  // A scenario leaves nothing behind.
  const usual: TaskPlace = once ? { kind: "memory" } : { kind: "journal", path: JOURNAL };
  return { once, port: number, tasks: places[0] ?? usual };
}
