import { channel, hasCode, withRemoteAddress } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import type { ManualClock } from "@holdfast/core/testing";
import type { Queue, QueueStore } from "@holdfast/queue";
import { defineTask, encodePayload, memoryStore, queue } from "@holdfast/queue";
import type { DashboardChangeEvent, QueueDashboard, QueueDashboardOptions } from "@holdfast/queue/dashboard";
import { queueDashboard } from "@holdfast/queue/dashboard";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EVIL, fill } from "./support/every-state.ts";
import type { Filled } from "./support/every-state.ts";

const BASE = "https://shop.example/queues";
const mail = defineTask({ name: "mail", attempts: 1 });

describe("queueDashboard", () => {
  let clock: ManualClock;
  let store: QueueStore;
  let images: Queue;
  const open: QueueDashboard[] = [];

  beforeEach(() => {
    clock = manualClock();
    store = memoryStore({ clock });
    images = queue({ name: "images", store, clock });
  });
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
    await store.close();
  });

  function dashboard(options: Partial<QueueDashboardOptions> = {}): QueueDashboard {
    const made = queueDashboard({ queues: [images], authorize: () => true, clock, ...options });
    open.push(made);
    return made;
  }

  async function get<T>(handler: QueueDashboard, path: string): Promise<T> {
    const response = await handler(new Request(`${BASE}${path}`));
    expect(response.status).toBe(200);
    return (await response.json()) as T;
  }

  function post(
    handler: QueueDashboard,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    return handler(
      new Request(`${BASE}${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          origin: "https://shop.example",
          "sec-fetch-site": "same-origin",
          ...headers,
        },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    );
  }

  async function code(answer: Promise<Response> | Response): Promise<readonly [number, unknown]> {
    const response = await answer;
    const body = (await response.json()) as { readonly code?: unknown };
    return [response.status, body.code];
  }

  async function deadLetter(): Promise<string> {
    const { id } = await images.enqueue(mail, {});
    const [claimed] = await store.claim("images", { worker: "w", max: 1, leaseMs: 1_000 });
    const error = { code: "BROKEN", message: "it broke" };
    await store.settle("images", [{ kind: "fail", id: claimed!.id, fence: claimed!.fence, error }]);
    return id;
  }

  describe("is closed", () => {
    it("refuses to be made without saying who may come in", () => {
      const make = (authorize: unknown) => (): unknown => dashboard({ authorize } as never);
      expect(make(undefined)).toThrow(/queueDashboard.*authorize/);
      expect(make(true)).toThrow(/authorize/);
      expect(make("everybody")).toThrow(/authorize/);
    });

    it("asks about every request, those for its own files included, and refuses with 403", async () => {
      const asked: string[] = [];
      const closed = dashboard({
        authorize: (request) => {
          asked.push(new URL(request.url).pathname);
          return false;
        },
      });
      for (const path of [
        "/",
        "/page.js",
        "/page.css",
        "/api/overview",
        "/api/queues/images",
        "/nothing",
        "",
      ])
        expect(await code(closed(new Request(BASE + path)))).toEqual([403, "FORBIDDEN"]);
      expect(await code(post(closed, "/api/queues/images/pause", {}))).toEqual([403, "FORBIDDEN"]);
      expect(asked).toHaveLength(8);
      expect((await images.meter()).paused).toBe(false);
    });

    it("takes for a refusal whatever is neither true nor read only", async () => {
      for (const answer of [undefined, null, 1, "true", {}, { readOnly: false }, []])
        expect(await code(dashboard({ authorize: () => answer as never })(new Request(`${BASE}/`)))).toEqual([
          403,
          "FORBIDDEN",
        ]);
    });

    it("passes on an answer of the application's own, and what it throws", async () => {
      const login = dashboard({ authorize: async () => Response.redirect("https://shop.example/login") });
      expect((await login(new Request(`${BASE}/`))).headers.get("location")).toBe(
        "https://shop.example/login",
      );
      const broken = dashboard({ authorize: () => Promise.reject(new TypeError("no session store")) });
      await expect(broken(new Request(`${BASE}/api/overview`))).rejects.toThrow("no session store");
    });

    it("lets in this machine alone when it is for loopback only", async () => {
      const local = dashboard({ authorize: "loopback-only" });
      const from = async (
        address: string | undefined,
        url: string,
        headers: Readonly<Record<string, string>> = {},
      ): Promise<number> => (await local(withRemoteAddress(new Request(url, { headers }), address))).status;
      for (const address of ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
        expect(await from(address, "http://localhost:3000/queues/")).toBe(200);
      expect(await from("127.0.0.1", "http://[::1]:3000/queues/")).toBe(200);
      expect(await from("127.0.0.1", "http://127.0.0.1/queues/")).toBe(200);
      // Not from here; not known; a name that leads here but is not ours; through a proxy of this machine.
      expect(await from("192.0.2.7", "http://localhost/queues/")).toBe(403);
      expect(await from("10.127.0.0", "http://localhost/queues/")).toBe(403);
      expect(await from(undefined, "http://localhost/queues/")).toBe(403);
      expect(await from("127.0.0.1", "http://rebound.example/queues/")).toBe(403);
      expect(await from("127.0.0.1", "http://127.0.0.1.example/queues/")).toBe(403);
      for (const name of ["forwarded", "x-forwarded-for", "x-real-ip", "via"])
        expect(await from("127.0.0.1", "http://localhost/queues/", { [name]: "1" })).toBe(403);
    });
  });

  describe("changes nothing", () => {
    it("for whoever may only look, nor for anybody when it is read only", async () => {
      const id = await deadLetter();
      for (const one of [
        dashboard({ authorize: () => ({ readOnly: true }) }),
        dashboard({ readOnly: true }),
      ]) {
        for (const action of ["pause", "resume", "cancel", "redrive", "discard"])
          expect(await code(post(one, `/api/queues/images/${action}`, { ids: [id] }))).toEqual([
            403,
            "READ_ONLY",
          ]);
        expect(await get(one, "/api/overview")).toMatchObject({ readOnly: true });
      }
      expect(await images.stats()).toMatchObject({ failed: 1 });
    });

    it("for another site's page, nor for what is no browser's fetch from its own", async () => {
      const id = await deadLetter();
      const one = dashboard();
      const path = "/api/queues/images/discard";
      for (const headers of [
        { origin: "https://evil.example" },
        { origin: "null" },
        { origin: "" },
        { origin: "https://shop.example.evil.example" },
        { origin: "https://shop.example:444" },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
        { "sec-fetch-site": "none" },
      ])
        expect(await code(post(one, path, { ids: [id] }, headers))).toEqual([403, "FOREIGN_ORIGIN"]);
      const bare = new Request(BASE + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ids: [id] }),
      });
      expect(await code(one(bare))).toEqual([403, "FOREIGN_ORIGIN"]);
      // A form can be sent from anywhere.
      const type = { "content-type": "application/x-www-form-urlencoded" };
      expect(await code(post(one, path, { ids: [id] }, type))).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
      expect(await images.stats()).toMatchObject({ failed: 1 });
    });

    it("on a GET", async () => {
      const response = await dashboard()(new Request(`${BASE}/api/queues/images/pause`));
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
      expect((await images.meter()).paused).toBe(false);
    });

    it("takes an origin that is listed, for a proxy that changes the host", async () => {
      const one = dashboard({ allowedOrigins: ["https://ops.example"] });
      const response = await post(one, "/api/queues/images/pause", {}, { origin: "https://ops.example" });
      expect(response.status).toBe(200);
      expect((await images.meter()).paused).toBe(true);
    });

    it("for a body that says nothing or too much", async () => {
      const one = dashboard();
      const bodies = [
        {},
        { ids: [] },
        { ids: "a" },
        { ids: [1] },
        { all: 1 },
        [],
        null,
        { ids: Array(1_001).fill("a") },
      ];
      for (const body of bodies)
        expect(await code(post(one, "/api/queues/images/redrive", body))).toEqual([400, "MALFORMED_BODY"]);
      expect(await code(post(one, "/api/queues/images/cancel", { all: true }))).toEqual([
        400,
        "MALFORMED_BODY",
      ]);
      expect(await code(post(one, "/api/queues/images/redrive", "{"))).toEqual([400, "MALFORMED_BODY"]);
      const long = { ids: ["x".repeat(300_000)] };
      expect(await code(post(one, "/api/queues/images/redrive", long))).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    });
  });

  describe("operates", () => {
    it("pauses and resumes", async () => {
      const one = dashboard();
      await images.enqueue(mail, {});
      await post(one, "/api/queues/images/pause", {});
      expect(await store.claim("images", { worker: "w", max: 1, leaseMs: 1_000 })).toEqual([]);
      expect(await get(one, "/api/queues/images")).toMatchObject({ queue: { paused: true } });
      await post(one, "/api/queues/images/resume", {});
      expect(await store.claim("images", { worker: "w", max: 1, leaseMs: 1_000 })).toHaveLength(1);
    });

    it("redrives and discards some", async () => {
      const one = dashboard();
      const ids = [await deadLetter(), await deadLetter(), await deadLetter()];
      const redriven = await post(one, "/api/queues/images/redrive", { ids: [ids[1], "unknown", ids[1]] });
      expect(await redriven.json()).toEqual({ changed: 1, asked: 2 });
      expect((await images.status(ids[1]!)).state).toBe("ready");
      const discarded = await post(one, "/api/queues/images/discard", { ids: [ids[0]] });
      expect(await discarded.json()).toEqual({ changed: 1, asked: 1 });
      expect(await images.stats()).toMatchObject({ ready: 1, failed: 1 });
    });

    it("redrives all dead letters, also those of many pages, but one whose key is taken", async () => {
      const one = dashboard();
      for (let n = 0; n < 450; n += 1) await deadLetter();
      await images.enqueue(mail, {}, { id: "kept", dedupKey: "k", priority: 1_000 });
      const [claimed] = await store.claim("images", { worker: "w", max: 1, leaseMs: 1_000 });
      const error = { code: "BROKEN", message: "it broke" };
      await store.settle("images", [{ kind: "fail", id: "kept", fence: claimed!.fence, error }]);
      await images.enqueue(mail, {}, { dedupKey: "k", delay: "1h" });
      for (let n = 0; n < 3; n += 1) await deadLetter();
      const answer = await post(one, "/api/queues/images/redrive", { all: true });
      expect(await answer.json()).toEqual({ changed: 453, asked: 453 });
      expect((await images.deadLetters()).map(({ id }) => id)).toEqual(["kept"]);
    });

    it("discards all dead letters", async () => {
      const one = dashboard();
      for (let n = 0; n < 250; n += 1) await deadLetter();
      await post(one, "/api/queues/images/discard", { all: true });
      expect(await images.stats()).toMatchObject({ failed: 0 });
    });

    it("cancels, and tells whoever listens who did what", async () => {
      const events: DashboardChangeEvent[] = [];
      const stop = channel<DashboardChangeEvent>("queue", "dashboard_change").subscribe((event) =>
        events.push(event),
      );
      const { id } = await images.enqueue(mail, {});
      await post(dashboard(), "/api/queues/images/cancel", { ids: [id, "unknown"] }, { "x-user": "ada" });
      stop();
      expect(await images.status(id)).toMatchObject({
        state: "cancelled",
        reason: "cancelled from the dashboard",
      });
      expect(events).toMatchObject([{ queue: "images", action: "cancel", ids: [id, "unknown"], changed: 1 }]);
      expect(events[0]!.request.headers.get("x-user")).toBe("ada");
    });
  });

  describe("shows", () => {
    let filled: Filled;
    beforeEach(async () => {
      filled = await fill(images);
    });

    it("its page and its files, with nothing inline and under a strict policy", async () => {
      const one = dashboard();
      const page = await one(new Request(`${BASE}/`));
      expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
      expect(page.headers.get("content-security-policy")).toMatch(
        /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'; require-trusted-types-for 'script'$/,
      );
      expect(page.headers.get("x-content-type-options")).toBe("nosniff");
      expect(page.headers.get("cache-control")).toBe("no-store");
      const html = await page.text();
      expect(html).not.toMatch(/<script(?![^>]+src=)|<style| on\w+=| style=|unsafe-inline/);
      const script = await one(new Request(`${BASE}/page.js`));
      expect(script.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
      expect(await script.text()).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|outerHTML/);
      expect((await one(new Request(`${BASE}/page.css`))).status).toBe(200);
    });

    it("leads to its folder from its address without a slash, wherever a proxy has put it", async () => {
      const response = await dashboard()(new Request(BASE));
      expect([response.status, response.headers.get("location")]).toEqual([302, "queues/"]);
      const atRoot = dashboard({ basePath: "" });
      expect((await atRoot(new Request("https://queues.example/"))).status).toBe(200);
      const deep = dashboard({ basePath: "/admin/jobs" });
      expect((await deep(new Request("https://shop.example/admin/jobs/api/overview"))).status).toBe(200);
      expect((await deep(new Request("https://shop.example/queues/"))).status).toBe(404);
    });

    it("answers HEAD without a body, and other methods not at all", async () => {
      const one = dashboard();
      const head = await one(new Request(`${BASE}/`, { method: "HEAD" }));
      expect([head.status, await head.text()]).toEqual([200, ""]);
      for (const path of [
        "/",
        "/api/overview",
        "/api/queues/images",
        "/api/queues/images/tasks?state=ready",
      ]) {
        const put = await one(new Request(BASE + path, { method: "PUT" }));
        expect([put.status, put.headers.get("allow")]).toEqual([405, "GET"]);
      }
    });

    it("nothing at other addresses", async () => {
      const one = dashboard();
      for (const path of [
        "/x",
        "/api",
        "/api/queues",
        "/api/queues/other",
        "/api/queues/images/x",
        "/%E0%A4%A",
      ])
        expect(await code(one(new Request(BASE + path)))).toEqual([404, "NOT_FOUND"]);
      expect(await code(one(new Request(`${BASE}/api/queues/images/tasks/unknown`)))).toEqual([
        404,
        "TASK_NOT_FOUND",
      ]);
      const many = await one(new Request(`${BASE}/api/queues/images/tasks/${filled.running}/x`));
      expect(many.status).toBe(404);
    });

    it("queues by state, with how long the next task has waited", async () => {
      await clock.advance(5_000);
      expect(await get(dashboard(), "/api/overview")).toEqual({
        title: "Queues",
        readOnly: false,
        now: clock.now(),
        queues: [
          {
            name: "images",
            counts: {
              scheduled: 2,
              waiting: 2,
              ready: 3,
              running: 1,
              completed: 1,
              failed: 4,
              cancelled: 1,
            },
            paused: false,
            headAgeMs: 5_000,
            points: [],
          },
        ],
      });
    });

    it("tasks of each state, no more than asked for, and says whether there are more", async () => {
      const one = dashboard();
      for (const [state, there] of Object.entries(await images.stats())) {
        const list = await get<{ tasks: unknown[]; more: boolean }>(
          one,
          `/api/queues/images/tasks?state=${state}&max=1`,
        );
        expect([state, list.tasks.length, list.more]).toEqual([state, 1, there > 1]);
      }
      const letters = await get<{ tasks: { id: string }[] }>(
        one,
        `/api/queues/images/tasks?state=failed&max=2&after=${filled.failed[0]}`,
      );
      expect(letters.tasks.map(({ id }) => id)).toEqual(filled.failed.slice(1, 3));
      for (const wrong of ["state=lost", "state=ready&max=201", "state=ready&max=0", "state=ready&max=x", ""])
        expect((await one(new Request(`${BASE}/api/queues/images/tasks?${wrong}`))).status).toBe(400);
    });

    it("a task with its events, steps and children", async () => {
      const one = dashboard();
      const done = await get<Record<string, unknown>>(one, `/api/queues/images/tasks/${filled.completed}`);
      expect(done["checkpoints"]).toEqual([{ name: "download" }, { name: "resize" }]);
      expect((done["events"] as { type: string }[]).map(({ type }) => type)).toEqual([
        "enqueued",
        "started",
        "checkpoint",
        "checkpoint",
        "log",
        "completed",
      ]);
      const parent = await get(one, `/api/queues/images/tasks/${filled.parent}`);
      expect(parent).toMatchObject({
        task: { state: "waiting", children: true },
        children: [{ id: filled.child }],
      });
      const child = await get(one, `/api/queues/images/tasks/${filled.child}`);
      expect(child).toMatchObject({ task: { parent: filled.parent } });
    });

    it("no payload unless it is told to", async () => {
      const secretly = await get<object>(dashboard(), `/api/queues/images/tasks/${filled.completed}`);
      expect(JSON.stringify(secretly)).not.toMatch(/81920|width/);
      const dead = `/api/queues/images/tasks/${filled.failed[0]}`;
      expect(JSON.stringify(await get(dashboard(), dead))).not.toMatch(/7\.png/);
      expect(JSON.stringify(await get(dashboard(), "/api/queues/images"))).not.toContain("<script>");
      const openly = dashboard({ showPayloads: true });
      expect(await get(openly, `/api/queues/images/tasks/${filled.completed}`)).toMatchObject({
        checkpoints: [{ name: "download", value: '{"bytes":81920}' }, { name: "resize" }],
        result: JSON.stringify({ width: 128, note: EVIL }),
      });
      expect(await get(openly, dead)).toMatchObject({ input: '{"url":"https://images.example/7.png"}' });
      expect(await get(openly, "/api/queues/images")).toMatchObject({ schedules: [{ text: EVIL }] });
    });

    it("markup as the text that it is: nothing of a task is ever part of a page", async () => {
      const one = dashboard();
      const response = await one(new Request(`${BASE}/api/queues/images/tasks?state=failed`));
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(JSON.stringify(await response.json())).toContain("<script>");
      expect(await (await one(new Request(`${BASE}/`))).text()).not.toContain("owned");
    });

    it("only so much of what is long", async () => {
      const [claimed] = await store.claim("images", { worker: "w", max: 1, leaseMs: 60_000 });
      const { id, fence } = claimed!;
      const value = { text: "x".repeat(7_000), deep: Array.from({ length: 500 }, (_, index) => index) };
      await store.report("images", [{ id, fence, reports: [{ kind: "progress", value }] }]);
      const checkpoint = { name: "big", value: encodePayload("y".repeat(100_000), 200_000) };
      await store.checkpoint("images", { id, fence }, [checkpoint]);
      const view = await get<{
        task: { progress: { text: string; deep: unknown[] } };
        checkpoints: { value: string }[];
      }>(dashboard({ showPayloads: true }), `/api/queues/images/tasks/${id}`);
      expect(view.task.progress.text).toHaveLength(2_001);
      expect(view.task.progress.deep).toHaveLength(100);
      expect(view.checkpoints[0]!.value).toHaveLength(20_001);
    });
  });

  describe("over time", () => {
    it("tells rates and mean times from its looks at the meter", async () => {
      const one = dashboard({ sampleEvery: "1s" });
      await clock.advance(0);
      await images.enqueueMany(mail, [{ input: 1 }, { input: 2 }, { input: 3 }, { input: 4 }]);
      await clock.advance(200);
      const claimed = await store.claim("images", { worker: "w", max: 2, leaseMs: 60_000 });
      await clock.advance(300);
      await store.settle(
        "images",
        claimed.map(({ id, fence }) => ({ kind: "complete", id, fence, result: encodePayload(1, 10) })),
      );
      await clock.advance(500);
      const { queue: seen } = await get<{ queue: { points: unknown[] } }>(
        one,
        "/api/queues/images?minutes=5",
      );
      expect(seen.points).toEqual([
        {
          at: clock.now(),
          added: 4,
          completed: 2,
          failed: 0,
          retried: 0,
          waitMs: 200,
          runMs: 300,
          totalMs: { p50: 500, p95: 500, p99: 500 },
          ready: 2,
          running: 0,
        },
      ]);
    });

    it("tells percentiles of what has completed since it looks, all looks of a stretch together", async () => {
      const finish = async (afterMs: readonly number[]): Promise<void> => {
        await images.enqueueMany(
          mail,
          afterMs.map((input) => ({ input })),
        );
        const claimed = await store.claim("images", { worker: "w", max: 1_000, leaseMs: 600_000 });
        for (const [index, { id, fence }] of claimed.entries()) {
          await clock.advance(afterMs[index]! - (afterMs[index - 1] ?? 0));
          await store.settle("images", [{ kind: "complete", id, fence, result: encodePayload(1, 10) }]);
        }
      };
      await finish([7_000]);
      const one = dashboard({ sampleEvery: "1s" });
      const seen = async (): Promise<unknown[]> => {
        const { queue: view } = await get<{ queue: { points: { totalMs?: unknown }[] } }>(
          one,
          "/api/queues/images?minutes=60",
        );
        return view.points.flatMap(({ totalMs }) => (totalMs === undefined ? [] : [totalMs]));
      };
      await clock.advance("3s");
      // What had completed before tells nothing of the time since.
      expect(await seen()).toEqual([]);
      await finish(Array.from({ length: 100 }, (_, index) => index + 1));
      await clock.advance("1s");
      expect(await seen()).toEqual([{ p50: 50, p95: 95, p99: 99 }]);
      await clock.advance("10s");
      expect(await seen()).toHaveLength(1);
      // A minute later two looks are one point.
      await clock.advance("3m");
      expect(await seen()).toEqual([{ p50: 50, p95: 95, p99: 99 }]);
    });

    it("keeps an hour, shows at most 120 points of it, and looks no more once it is closed", async () => {
      const one = dashboard({ sampleEvery: "5s" });
      for (let minute = 0; minute < 90; minute += 1) await clock.advance(60_000);
      for (const [minutes, points] of [
        [5, 60],
        [15, 90],
        [60, 120],
      ]) {
        const { queue: seen } = await get<{ queue: { points: unknown[] } }>(
          one,
          `/api/queues/images?minutes=${minutes}`,
        );
        expect(seen.points).toHaveLength(points!);
      }
      await one.close();
      expect(clock.pendingTimers).toBe(0);
    });

    it("finds a task by its ID in any queue, and says which ones could not be asked", async () => {
      const away = memoryStore({ clock });
      const mails = queue({ name: "mails", store, clock });
      const one = dashboard({ queues: [mails, images, queue({ name: "lost", store: away, clock })] });
      for (const [tasks, id] of [
        [images, "here"],
        [images, "both:1"],
        [mails, "both:1"],
      ] as const)
        await tasks.enqueue(mail, 1, { id });
      const find = (id: string): Promise<unknown> => get(one, `/api/find?id=${encodeURIComponent(id)}`);
      expect(await find("here")).toEqual({ queues: ["images"], silent: [] });
      expect(await find("both:1")).toEqual({ queues: ["images", "mails"], silent: [] });
      await away.close();
      expect(await find("nowhere")).toEqual({ queues: [], silent: ["lost"] });
      for (const bad of ["", "?id=", `?id=${"x".repeat(1_001)}`])
        expect(await code(one(new Request(`${BASE}/api/find${bad}`)))).toEqual([400, "BAD_ID"]);
      expect(await code(post(one, "/api/find?id=here", {}))).toEqual([405, "METHOD_NOT_ALLOWED"]);
    });

    it("goes on when the store is away for a while, and tells of that queue alone", async () => {
      const away = memoryStore({ clock });
      const lost = queue({ name: "lost", store: away, clock });
      const one = dashboard({ queues: [images, lost], sampleEvery: "1s" });
      await clock.advance(3_000);
      await away.close();
      await clock.advance(3_000);
      const { queues } = await get<{ queues: { name: string; error?: string; points: unknown[] }[] }>(
        one,
        "/api/overview",
      );
      expect(queues.map(({ name, error, points }) => [name, error, points.length])).toEqual([
        ["images", undefined, 6],
        ["lost", "CLOSED", 0],
      ]);
      expect((await one(new Request(`${BASE}/api/queues/lost/tasks?state=ready`))).status).toBe(503);
    });
  });

  it("refuses options that cannot be", () => {
    for (const [option, value] of [
      ["queues", []],
      ["queues", [{ name: "no queue" }]],
      ["queues", [images, images]],
      ["basePath", "/queues/"],
      ["basePath", "queues"],
      ["basePath", '/"><script>'],
      ["title", ""],
      ["readOnly", "yes"],
      ["showPayloads", 1],
      ["sampleEvery", 10],
      ["allowedOrigins", ["https://ops.example/"]],
    ] as const) {
      let thrown: unknown;
      try {
        dashboard({ [option]: value } as never);
      } catch (error) {
        thrown = error;
      }
      expect([option, hasCode(thrown, "INVALID_OPTION")]).toEqual([option, true]);
      expect(String(thrown)).toContain(option);
    }
  });
});
