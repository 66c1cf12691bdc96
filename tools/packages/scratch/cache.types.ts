// Uses @holdfast/cache from strict TypeScript.
import type { Cache } from "@holdfast/cache";
import { createCache } from "@holdfast/cache";
import type { HttpCache, StoredResponse } from "@holdfast/cache/http";
import { httpCache } from "@holdfast/cache/http";
import { withMiddleware } from "@holdfast/core";

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

export const responses: HttpCache = httpCache({
  cache: (needs) => createCache({ ...needs, maxBytes: 1_000_000 }),
  credentials: ["x-user"],
});
export const handler: unknown = withMiddleware(() => new Response(), responses.middleware);
export const sizeOf = ({ body }: StoredResponse): number => body.byteLength;

// @ts-expect-error a number is no list of names
httpCache({ credentials: 5 });
