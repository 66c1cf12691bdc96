// Uses @holdfast/cache from strict TypeScript.
import type { Cache } from "@holdfast/cache";
import { createCache } from "@holdfast/cache";

interface User {
  readonly name: string;
}

export const users: Cache<string, User> = createCache({ load: async (id: string) => ({ name: id }) });
export const byParts: Cache<readonly [string, number], User | null> = createCache({ ttl: "5m" });
export const user: Promise<User | undefined> = users.get("42");
export const none: Promise<User | null | undefined> = byParts.get(["tenant", 42]);

// @ts-expect-error undefined says that there is none
createCache<string, undefined>({});

// @ts-expect-error not a key
void users.get({ id: "42" });
