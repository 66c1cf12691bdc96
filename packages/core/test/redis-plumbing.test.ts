import { InvalidOptionError } from "@holdfast/core";
import {
  hashTagOf,
  keyPrefix,
  redisFailure,
  redisIdempotencyStore,
  redisRunner,
  redisScript,
} from "@holdfast/core/redis";
import { describe, expect, it } from "vitest";

function reply(message: string): Error {
  return Object.assign(new Error(message), { name: "ReplyError" });
}

describe("what a failure of Redis means", () => {
  it.each([
    ["READONLY You can't write against a read only replica.", "read_only"],
    ["ERR Error running script (call to f_1): @user_script: 3: -READONLY You can't write.", "read_only"],
    ["READONLY You can't write against a read only replica. script: 1, on @user_script:38.", "read_only"],
    ["MASTERDOWN Link with MASTER is down.", "read_only"],
    ["LOADING Redis is loading the dataset in memory", "loading"],
    ["BUSY Redis is busy running a script.", "busy"],
    ["CLUSTERDOWN The cluster is down", "cluster_down"],
    ["TRYAGAIN Multiple keys request during rehashing of slot", "cluster_down"],
    ["MOVED 3999 127.0.0.1:6381", "moved"],
    ["OOM command not allowed when used memory > 'maxmemory'.", "out_of_memory"],
    ["NOREPLICAS Not enough good replicas to write.", "no_replicas"],
    ["MISCONF Redis is configured to save RDB snapshots.", "persistence"],
    ["ERR max number of clients reached", "too_many_clients"],
  ])("was refused before it ran: %s", (message, reason) => {
    const failure = redisFailure(reply(message));
    expect(failure).toMatchObject({ code: "STORE_UNAVAILABLE", reason, outcome: "none" });
  });

  it.each([
    [Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" }), "none"],
    [new Error("Stream isn't writeable and enableOfflineQueue options is false"), "none"],
    [Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }), "unknown"],
    [Object.assign(new Error("write EPIPE"), { code: "EPIPE" }), "unknown"],
    [new Error("Cluster isn't ready and enableOfflineQueue options is false"), "none"],
    [new Error("None of startup nodes is available"), "none"],
    [new Error("Connection is closed."), "unknown"],
    [new Error("Command timed out"), "unknown"],
    [new Error("Too many Cluster redirections. Last error: ReplyError: MOVED 1 127.0.0.1:1"), "unknown"],
    [
      Object.assign(new Error("Reached the max retries per request limit"), {
        name: "MaxRetriesPerRequestError",
      }),
      "unknown",
    ],
  ])("was a lost connection: %s, outcome %s", (error, outcome) => {
    expect(redisFailure(error)).toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "connection",
      outcome,
      cause: error,
    });
  });

  it.each([
    reply("WRONGTYPE Operation against a key holding the wrong kind of value"),
    reply("CROSSSLOT Keys in request don't hash to the same slot"),
    reply("STOPPED the shop is BUSY now"),
    reply("NOPERM this user has no permissions"),
    reply("ERR user_script:1: Script attempted to access nonexistent global variable 'BUSY'"),
    new TypeError("x is not a function"),
    "no error at all",
  ])("is a mistake, and comes out as it is: %s", (error) => {
    expect(redisFailure(error)).toBe(error);
  });
});

describe("names of keys", () => {
  it("are spread over all tags, each name always to the same", () => {
    const tags = new Set(Array.from({ length: 5_000 }, (_, index) => hashTagOf(`key ${index}`, 64)));
    expect(tags.size).toBe(64);
    for (const tag of tags) expect(tag).toMatch(/^\{\d{1,2}\}$/);
    expect(hashTagOf("key 1", 64)).toBe(hashTagOf("key 1", 64));
  });

  it("have a prefix without braces of its own", () => {
    expect(keyPrefix("owner", undefined, "app:")).toBe("app:");
    for (const prefix of ["{app}", "a}", "", "x".repeat(101)])
      expect(() => keyPrefix("owner", prefix, "app:")).toThrow(InvalidOptionError);
  });
});

describe("options of core/redis", () => {
  const client = { evalsha: async () => null, eval: async () => null };

  it("are checked when something is made", () => {
    expect(() => redisRunner({ client, deadline: 0 })).toThrow(InvalidOptionError);
    expect(() => redisRunner({ client: {} as never })).toThrow('option "client"');
    expect(() => redisIdempotencyStore({ client, prefix: "{}" })).toThrow('option "prefix"');
    expect(() => redisIdempotencyStore({ client, deadline: "0ms" })).toThrow('option "deadline"');
    expect(() => redisScript({ name: "", lua: "return 1", keys: [] })).toThrow('option "name"');
    expect(() => redisScript({ name: "x", lua: "", keys: [] })).toThrow('option "lua"');
  });
});
