// What the store keeps in PostgreSQL, and its rules, which are functions beside the tables.
import { optionsOf } from "@holdfast/core";
import type { Migration } from "@holdfast/core/postgres";
import { MAX_TENANTS } from "../store/store.ts";
import TABLES from "./sql/1-tables.sql";
import SCHEDULES from "./sql/10-schedules.sql";
import RUN from "./sql/11-run.sql";
import EVENTS from "./sql/2-events.sql";
import GROUPS from "./sql/3-groups.sql";
import CHANGES from "./sql/4-changes.sql";
import SWEEP from "./sql/5-sweep.sql";
import ENQUEUE from "./sql/6-enqueue.sql";
import CLAIM from "./sql/7-claim.sql";
import CHECKPOINTS from "./sql/8-checkpoints.sql";
import QUESTIONS from "./sql/9-questions.sql";

/** The schema that is used unless another is named. */
export const SCHEMA = "holdfast_queue";

const NAME = /^[a-z_][a-z0-9_]{0,39}$/;

/** States by number, as tables have them. What is entering is not there yet for others, what is leaving still runs. */
export const STATES = [
  "ENTERING",
  "SCHEDULED",
  "WAITING",
  "READY",
  "HELD_BACK",
  "RUNNING",
  "LEAVING",
  "COMPLETED",
  "FAILED",
  "CANCELLED",
] as const;

/**
 * The name of a schema, checked.
 *
 * @throws InvalidOptionError unless it is 1 to 40 lower-case letters, digits and underscores.
 */
export function schemaName(owner: string, schema: string = SCHEMA): string {
  if (typeof schema !== "string" || !NAME.test(schema))
    return optionsOf(owner).refuse("schema", schema, "1 to 40 lower-case letters, digits and underscores");
  return schema;
}

/** All changes of the schema so far, in order. */
export function taskMigrations(schema: string): readonly Migration[] {
  const texts = [
    TABLES,
    EVENTS,
    GROUPS,
    CHANGES,
    SWEEP,
    ENQUEUE,
    CLAIM,
    CHECKPOINTS,
    QUESTIONS,
    SCHEDULES,
    RUN,
  ];
  const create = `create schema if not exists "${schema}"`;
  const statements = texts.flatMap((text) => statementsOf(inSchema(text, schema)));
  return [{ name: `queue:${schema}:1`, statements: [create, ...statements] }];
}

/** Statements begin at the left edge. */
function statementsOf(text: string): readonly string[] {
  return text.split(/^(?=create )/m).filter((statement) => statement.startsWith("create "));
}

/** Words in the texts that stand for numbers. */
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...STATES.map((state, number): [string, number] => [state, number]),
  ["MAX_TENANTS", MAX_TENANTS],
]);

/** In the schema of that name, and with numbers where words stand for them. */
function inSchema(text: string, schema: string): string {
  const words = new RegExp(`\\b(?:${[...NUMBERS.keys()].join("|")})\\b`, "g");
  return text
    .replace(/^\s*--.*\n/gm, "")
    .replace(words, (word) => String(NUMBERS.get(word)))
    .replaceAll(`${SCHEMA}.`, `"${schema}".`)
    .replaceAll(`'${SCHEMA}'`, `'${schema}'`);
}
