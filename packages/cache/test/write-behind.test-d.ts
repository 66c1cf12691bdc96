import type { CacheKey, WriteBehind, WriteContext } from "@holdfast/cache";
import { createCache, memoryWriteLog, writeBehind } from "@holdfast/cache";
import { expectTypeOf, it } from "vitest";

interface User {
  readonly name: string;
}

const log = memoryWriteLog();

it("infers key and value from the write, and fits a cache", () => {
  const behind = writeBehind({
    log,
    write: async (id: string, user: User, context) => {
      expectTypeOf(context).toEqualTypeOf<WriteContext>();
      expectTypeOf(user).toEqualTypeOf<User>();
      expectTypeOf(id).toEqualTypeOf<string>();
    },
    load: () => undefined,
  });
  expectTypeOf(behind).toEqualTypeOf<WriteBehind<string, User>>();
  const users = createCache({ load: behind.load, write: behind.write });
  expectTypeOf(users.get).returns.resolves.toEqualTypeOf<User | undefined>();
  expectTypeOf(behind.close()).resolves.toEqualTypeOf<number | undefined>();
});

it("gives batches their entries, and takes errors back", () => {
  writeBehind<CacheKey, User>({
    log,
    writeMany: (entries, { signal }) => {
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      return entries.map(({ value }) => (value.name === "" ? new Error("no name") : undefined));
    },
  });
});

it("refuses what cannot be written behind", () => {
  // @ts-expect-error there is no log
  writeBehind({ write: () => {} });
  // @ts-expect-error undefined says that there is none
  writeBehind<string, undefined>({ log, write: () => {} });
  // @ts-expect-error not a duration
  writeBehind({ log, write: (_id: string, _user: User) => {}, delay: "soon" });
});
