import { describe, expect, inject, it } from "vitest";
import { startProxy, startRedis } from "../../../tools/services/index.mjs";
import type { MemberProcess } from "./support/fleet-processes.ts";
import { startMembers } from "./support/fleet-processes.ts";

const startsRedis = inject("startsRedis");
const PREFIX = "fleet:";
const PATIENCE = { timeout: 20_000, interval: 10 };

/** Waits until its snapshot is so. Answers all changes of its state meanwhile. */
async function until(member: MemberProcess, wanted: object): Promise<readonly string[]> {
  const changes: string[] = [];
  const look = async () => {
    const seen = await member.look();
    changes.push(...seen.changes);
    return seen;
  };
  await expect.poll(look, PATIENCE).toMatchObject(wanted);
  return changes;
}

const untilAll = (members: readonly MemberProcess[], wanted: object) =>
  Promise.all(members.map((member) => until(member, wanted)));

async function startFleet(urls: readonly string[]) {
  const members = await startMembers(urls, PREFIX);
  await untilAll(members, { state: "closed", share: { status: "joined" } });
  const [a, b, c] = members as [MemberProcess, MemberProcess, MemberProcess];
  const dispose = async () => {
    await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
  };
  return { a, b, c, [Symbol.asyncDispose]: dispose };
}

/** Two of them trip; all of them hear that the fleet has opened. */
async function openFleet({ a, b, c }: Awaited<ReturnType<typeof startFleet>>): Promise<void> {
  const before = (await a.look()).share?.fleet.generation ?? 0;
  await Promise.all([a.call("fail"), b.call("fail")]);
  const generation = expect.toSatisfy((now: number) => now > before) as number;
  await untilAll([a, b, c], { share: { fleet: { state: "open", generation } } });
}

/** Calls until a call was started that hangs. */
const untilHangs = (member: MemberProcess) => expect.poll(() => member.hang(), PATIENCE).toBe("started");
const untilFine = (member: MemberProcess) => expect.poll(() => member.call("succeed"), PATIENCE).toBe("fine");

describe.skipIf(!startsRedis)("processes that share a breaker through Redis", () => {
  it("open together once a quorum has tripped, and close together once one probe has succeeded", async () => {
    await using server = await startRedis();
    await using fleet = await startFleet([server.url, server.url, server.url]);
    const { a, b, c } = fleet;
    await a.call("fail");
    await until(a, { state: "open", share: { fleet: { state: "closed", votes: 1 } } });
    expect(await c.call("succeed")).toBe("fine");
    await b.call("fail");
    const changes = await until(c, { state: "open" });
    expect(changes).toEqual(["open: shared"]);
    await untilFine(c);
    await untilAll([a, b, c], { state: "closed", share: { fleet: { state: "closed" } } });
    expect(await a.leave()).toEqual({ leasesReturned: 0 });
  });

  it("never have more than one probe out, however much all of them call", async () => {
    await using server = await startRedis();
    await using fleet = await startFleet([server.url, server.url, server.url]);
    await openFleet(fleet);
    const storms = await Promise.all([fleet.a, fleet.b, fleet.c].map((member) => member.storm(3_000)));
    expect(storms.reduce((sum, { made }) => sum + made, 0)).toBeGreaterThan(1);
    expect(Math.max(...storms.map(({ most }) => most))).toBe(1);
  });

  it("go on when the one that probes is killed: its place is free once its lease is over", async () => {
    await using server = await startRedis();
    await using fleet = await startFleet([server.url, server.url, server.url]);
    await openFleet(fleet);
    await untilHangs(fleet.a);
    await fleet.a.kill();
    expect(await fleet.b.call("succeed")).toBe("CIRCUIT_OPEN");
    await untilFine(fleet.b);
    await until(fleet.c, { state: "closed" });
  });

  it.each(["fail", "succeed"] as const)(
    "do not hear the one that was paused while it probed, for longer than its lease (it would %s)",
    async (how) => {
      await using server = await startRedis();
      await using fleet = await startFleet([server.url, server.url, server.url]);
      const { a, b, c } = fleet;
      await openFleet(fleet);
      await untilHangs(a);
      a.pause();
      if (how === "fail") await untilFine(b);
      else await expect.poll(() => b.call("fail"), PATIENCE).toBe("down");
      const wanted = how === "fail" ? "closed" : "open";
      await until(c, { share: { fleet: { state: wanted, probing: 0 } } });
      const before = (await b.look()).share;
      a.resume();
      await a.release(how);
      await until(a, { share: { status: "joined", fleet: { generation: before?.fleet.generation } } });
      expect((await b.look()).share?.fleet).toMatchObject({
        state: wanted,
        generation: before?.fleet.generation,
      });
      await untilFine(b);
      await untilAll([a, b, c], { state: "closed" });
    },
  );

  it("are on their own while Redis is frozen, and come back without a flap", async () => {
    await using server = await startRedis();
    await using fleet = await startFleet([server.url, server.url, server.url]);
    const { a, b, c } = fleet;
    await openFleet(fleet);
    server.pause();
    await untilAll([a, b, c], { share: { status: "alone" } });
    for (const member of [a, b, c]) await untilFine(member);
    await untilAll([a, b, c], { state: "closed", share: { status: "alone" } });
    // Each by itself: what one finds out changes nothing for the others.
    await a.call("fail");
    expect([(await a.look()).state, (await b.look()).state]).toEqual(["open", "closed"]);
    await untilFine(a);
    await untilAll([a, b, c], { state: "closed" });
    server.resume();
    const changes = await untilAll([a, b, c], { state: "closed", share: { status: "joined" } });
    expect(changes).toEqual([[], [], []]);
    // The fleet's circuit is still open there, as all knew before: the first that trips probes for all.
    await a.call("fail");
    await untilFine(a);
    const after = await untilAll([b, c], { state: "closed", share: { fleet: { state: "closed" } } });
    expect(after).toEqual([[], []]);
  });

  it("come back to a Redis that was killed and has lost all, and open together again", async () => {
    await using server = await startRedis();
    await using fleet = await startFleet([server.url, server.url, server.url]);
    const { a, b, c } = fleet;
    await openFleet(fleet);
    await server.kill();
    await untilAll([a, b, c], { share: { status: "alone" } });
    for (const member of [a, b, c]) await untilFine(member);
    await untilAll([a, b, c], { state: "closed", share: { status: "alone" } });
    await server.start();
    const changes = await untilAll([a, b, c], { state: "closed", share: { status: "joined" } });
    expect(changes).toEqual([[], [], []]);
    await openFleet(fleet);
    await untilFine(c);
    await untilAll([a, b, c], { state: "closed" });
  });

  it("leave one out that is cut off: it serves on by itself, and follows once when it is back", async () => {
    await using server = await startRedis();
    await using proxy = await startProxy(server.url);
    await using fleet = await startFleet([server.url, server.url, proxy.url]);
    const { a, b, c } = fleet;
    proxy.cut();
    await until(c, { share: { status: "alone" } });
    await Promise.all([a.call("fail"), b.call("fail")]);
    await untilAll([a, b], { share: { fleet: { state: "open" } } });
    expect(await c.call("succeed")).toBe("fine");
    await c.look();
    proxy.heal();
    const changes = await until(c, { share: { status: "joined", fleet: { state: "open" } } });
    expect(changes.filter((change) => !change.startsWith("half-open"))).toEqual(["open: shared"]);
    await untilFine(c);
    await untilAll([a, b, c], { state: "closed" });
  });
});
