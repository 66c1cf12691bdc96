// Names of tables in SQL: checked, so that they can be nothing but names, and quoted.
import { optionsOf } from "../options.ts";

/** A table of ours, and the names of what belongs to it, all quoted. */
export interface TableName {
  /** As it was given: `jobs` or `app.jobs`. */
  readonly name: string;
  /** `"app"."jobs"` */
  readonly quoted: string;
  /** The name of something beside the table, in the same schema: `beside("fence")` is `"app"."jobs_fence"`. */
  readonly beside: (suffix: string) => string;
  /** A name for an index, which is always in the schema of its table. */
  readonly index: (suffix: string) => string;
}

const PATTERN = /^(?:([a-z_][a-z0-9_]{0,39})\.)?([a-z_][a-z0-9_]{0,39})$/;

/**
 * Reads a table's name, with or without a schema.
 *
 * @throws InvalidOptionError unless each part is 1 to 40 lower-case letters, digits and underscores.
 */
export function tableName(owner: string, table: string | undefined, fallback: string): TableName {
  const name = table ?? fallback;
  const match = typeof name === "string" ? PATTERN.exec(name) : null;
  if (match === null)
    return optionsOf(owner).refuse(
      "table",
      table,
      "`table` or `schema.table`, each 1 to 40 lower-case letters, digits and underscores",
    );
  const [, schema, local = ""] = match;
  const within = schema === undefined ? "" : `"${schema}".`;
  const beside = (suffix: string): string => `${within}"${local}_${suffix}"`;
  return { name, quoted: `${within}"${local}"`, beside, index: (suffix) => `"${local}_${suffix}"` };
}
