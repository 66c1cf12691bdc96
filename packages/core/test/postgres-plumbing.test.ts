import { InvalidOptionError } from "@holdfast/core";
import {
  pgFailure,
  pgListener,
  pgRunner,
  postgresIdempotencyMigrations,
  postgresIdempotencyStore,
  sqlStateOf,
  tableName,
  transaction,
} from "@holdfast/core/postgres";
import { describe, expect, it } from "vitest";

const coded = (code: string, message = "refused"): Error => Object.assign(new Error(message), { code });

describe("what a failure of PostgreSQL means", () => {
  it.each([
    ["08006", "connection", "unknown"],
    ["08001", "connection", "none"],
    ["25006", "read_only", "none"],
    ["40001", "conflict", "none"],
    ["40P01", "conflict", "none"],
    ["40003", "connection", "unknown"],
    ["53100", "out_of_resources", "none"],
    ["53300", "too_many_connections", "none"],
    ["55P03", "locked", "none"],
    ["57014", "timeout", "none"],
    ["57P01", "shutting_down", "unknown"],
    ["57P02", "shutting_down", "unknown"],
    ["57P03", "starting", "none"],
    ["ECONNREFUSED", "connection", "none"],
    ["ECONNRESET", "connection", "unknown"],
    ["EPIPE", "connection", "unknown"],
    ["CONNECTION_CLOSED", "connection", "unknown"],
    ["CONNECT_TIMEOUT", "connection", "unknown"],
  ])("%s is %s, outcome %s", (code, reason, outcome) => {
    expect(pgFailure(coded(code), true)).toMatchObject({ code: "STORE_UNAVAILABLE", reason, outcome });
    expect(pgFailure(coded(code), false)).toMatchObject({ reason, outcome: "none" });
  });

  it.each([
    ["Connection terminated unexpectedly", "connection", "unknown"],
    ["timeout exceeded when trying to connect", "connection", "unknown"],
    ["Client has encountered a connection error and is not queryable", "connection", "none"],
    ["Client was closed and is not queryable", "connection", "none"],
    ["Query read timeout", "timeout", "unknown"],
  ])("is known by the words of pg: %s", (message, reason, outcome) => {
    expect(pgFailure(new Error(message), true)).toMatchObject({ reason, outcome });
  });

  it.each([coded("42P01"), coded("23505"), coded("28P01"), coded("22021"), new TypeError("x"), "no error"])(
    "is a mistake, and comes out as it is: %s",
    (error) => expect(pgFailure(error, true)).toBe(error),
  );

  it("has the SQLSTATE of the error that it wraps", () => {
    expect(sqlStateOf(pgFailure(coded("40001"), true))).toBe("40001");
    expect(sqlStateOf(coded("ECONNRESET"))).toBeUndefined();
    expect(sqlStateOf("40001")).toBeUndefined();
  });
});

describe("options of core/postgres", () => {
  const client = { query: async () => ({ rows: [] }) };

  it("are checked when something is made", async () => {
    expect(() => pgRunner({ client, deadline: 0 })).toThrow(InvalidOptionError);
    expect(() => pgRunner({ client: {} as never })).toThrow('option "client"');
    expect(() => postgresIdempotencyStore({ client, sweepEvery: -1 })).toThrow('option "sweepEvery"');
    expect(() => postgresIdempotencyMigrations("x y")).toThrow('option "table"');
    expect(() => pgListener({ connect: undefined as never })).toThrow('option "connect"');
    expect(() => pgListener({ connect: async () => ({}) as never, heartbeat: 1 })).toThrow(
      'option "heartbeat"',
    );
    for (const options of [
      { retries: -1 },
      { isolation: "chaos" as never },
      { lockTimeout: 0 },
      { deadline: 0 },
    ])
      await expect(transaction(client, async () => 1, options)).rejects.toThrow(InvalidOptionError);
  });

  it("quote names of tables and of what is beside them", () => {
    const { quoted, beside, index } = tableName("owner", "app.keys", "x");
    expect([quoted, beside("begin"), index("expires_at")]).toEqual([
      '"app"."keys"',
      '"app"."keys_begin"',
      '"keys_expires_at"',
    ]);
  });
});
