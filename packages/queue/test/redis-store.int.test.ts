import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { afterAll, describe, inject, it } from "vitest";
import { longWay } from "./support/redis-long-way.ts";
import type { RedisPlace } from "./support/redis-places.ts";
import { redisPlaces } from "./support/redis-places.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("redisTaskStore", () => {
  const places = redisPlaces(redisUrl);
  let place: RedisPlace | undefined;
  afterAll(() => place?.close());

  function open(change?: (lua: string) => string) {
    place?.close();
    const { client, clock, prefix } = (place = places.open(change));
    return redisTaskStore({ client, clock, prefix });
  }
  const advance = (ms: number): Promise<void> => place!.advance(ms);

  queueStoreConformance({ describe, it }, { make: () => open(), advance });

  describe("when all goes the long way", () => {
    queueStoreConformance({ describe, it }, { make: () => open(longWay), advance });
  });

  describe("with inputs and results that are all too large for a record", () => {
    const tight = (lua: string): string =>
      longWay(lua).replace("#body <= 1024", "#body <= 2").replace("#result > 1024", "#result > 2");
    queueStoreConformance({ describe, it }, { make: () => open(tight), advance });
  });
});
