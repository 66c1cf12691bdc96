// The dashboard's page in a real browser, on real servers.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { serve as serveHono } from "@hono/node-server";
import { nodeHandler, serve } from "@holdfast/core/node";
import type { RunningServer } from "@holdfast/core/node";
import type { Queue, QueueStore } from "@holdfast/queue";
import { memoryStore, queue } from "@holdfast/queue";
import type { QueueDashboard } from "@holdfast/queue/dashboard";
import { queueDashboard } from "@holdfast/queue/dashboard";
import express from "express";
import { Hono } from "hono";
import type { Browser, Page } from "playwright-core";
import { chromium } from "playwright-core";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  it,
  onTestFinished,
} from "vitest";
import type { Filled } from "./support/every-state.ts";
import { EVIL, fill } from "./support/every-state.ts";

const executablePath = inject("chromium");
/** Script and styles of the page, gzipped: it is opened when something is wrong, perhaps over a bad line. */
const PAGE_BUDGET = 13_000;

describe("the dashboard on servers", () => {
  function made(authorize: "loopback-only" | (() => boolean)): QueueDashboard {
    const store = memoryStore();
    const dashboard = queueDashboard({ queues: [queue({ name: "images", store })], authorize });
    onTestFinished(async () => {
      await dashboard.close();
      await store.close();
    });
    return dashboard;
  }

  async function expectMounted(url: string): Promise<void> {
    const page = await fetch(`${url}/queues`);
    expect([page.status, new URL(page.url).pathname]).toEqual([200, "/queues/"]);
    expect((await fetch(`${url}/queues/page.js`)).headers.get("content-type")).toMatch("javascript");
    const paused = await fetch(`${url}/queues/api/queues/images/pause`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: url },
      body: "{}",
    });
    expect(await paused.json()).toEqual({ changed: 0, asked: 0 });
  }

  it("is mounted on node:http, for this machine alone", async () => {
    const server = await serve(made("loopback-only"));
    onTestFinished(async () => void (await server.close({ within: 0 })));
    await expectMounted(server.url);
    const foreign = await fetch(`${server.url}/queues/`, { headers: { "x-forwarded-for": "192.0.2.7" } });
    expect(foreign.status).toBe(403);
  });

  it("is mounted on Express", async () => {
    const app = express();
    app.all(["/queues", "/queues/{*path}"], nodeHandler(made("loopback-only")));
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    await expectMounted(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });

  it("is mounted on Hono", async () => {
    const dashboard = made(() => true);
    const app = new Hono();
    app.all("/queues/*", (context) => dashboard(context.req.raw));
    const server = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    await once(server, "listening");
    onTestFinished(() => void server.close());
    await expectMounted(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });

  it(`sends a page of less than ${PAGE_BUDGET} bytes`, async () => {
    const dashboard = made(() => true);
    let bytes = 0;
    for (const file of ["", "page.js", "page.css"])
      bytes += gzipSync(
        await (await dashboard(new Request(`http://localhost/queues/${file}`))).text(),
      ).length;
    expect(bytes).toBeLessThan(PAGE_BUDGET);
  });
});

describe.skipIf(executablePath === "")("the dashboard's page, in Chromium", () => {
  let browser: Browser;
  let page: Page;
  let store: QueueStore;
  let images: Queue;
  let filled: Filled;
  let dashboard: QueueDashboard;
  let server: RunningServer;
  /** What the page or the browser complained about. */
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
    });
  });
  afterAll(async () => {
    await browser.close();
  });

  beforeEach(async () => {
    store = memoryStore();
    images = queue({ name: "images", store });
    filled = await fill(images);
    const mails = queue({ name: "mails", store });
    const settings = { authorize: "loopback-only", showPayloads: true, sampleEvery: "250ms" } as const;
    dashboard = queueDashboard({ queues: [images, mails], title: "Shop", ...settings });
    server = await serve(dashboard);
    complaints.length = 0;
    page = await browser.newPage({ viewport: { width: 1_280, height: 900 } });
    page.on("pageerror", ({ message }) => complaints.push(message));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.setDefaultTimeout(20_000);
  });
  afterEach(async () => {
    await page.close();
    await server.close({ within: 0 });
    await dashboard.close();
    await store.close();
  });

  async function open(hash: string): Promise<void> {
    await page.goto(`${server.url}/queues/#/${hash}`);
    await page.waitForSelector("main h1");
  }

  function texts(selector: string): Promise<readonly string[]> {
    return page.$$eval(selector, (found) => found.map(({ textContent }) => textContent));
  }

  it("shows all queues, and leads to the dead letters of one", async () => {
    await open("");
    expect(await page.title()).toBe("Shop");
    expect(await texts(".queue h2")).toEqual(["images", "mails"]);
    expect(await texts('[data-queue="images"] .counts li')).toEqual([
      "2 scheduled",
      "2 waiting",
      "3 ready",
      "1 running",
      "1 completed",
      "4 failed",
      "1 cancelled",
    ]);
    await page.click('[data-queue="images"] .counts .failed a');
    await page.waitForSelector("#tasks li");
    expect(await texts("#tasks code")).toEqual([...filled.failed]);
    expect(await page.getAttribute('.states [aria-current="page"]', "href")).toBe("#/q/images/failed");
    expect(complaints).toEqual([]);
  });

  it("shows tasks of every state, and markup in them as text", async () => {
    for (const [state, there] of Object.entries(await images.stats())) {
      await open(`q/images/${state}`);
      await page.waitForSelector(`section[aria-label="Tasks that are ${state}"] #tasks li`);
      expect([state, (await texts("#tasks li")).length]).toEqual([state, there]);
    }
    await open("q/images/failed");
    await page.waitForSelector("#tasks li");
    expect((await texts("#tasks b"))[1]).toBe(EVIL);
    expect(await texts("#schedules code")).toEqual([EVIL]);
    await open(`q/images/t/${filled.completed}`);
    await page.waitForSelector("#events li");
    expect(await page.textContent("#result")).toContain(JSON.stringify(EVIL));
    expect(await texts("#events .log span:last-child")).toEqual([`a line ${EVIL}`]);
    await open(`q/images/t/${filled.failed[0]}`);
    expect(await page.textContent("#input")).toBe('{"url":"https://images.example/7.png"}');
    expect(await page.$$("img, main script")).toEqual([]);
    expect(await page.title()).not.toContain("owned");
    expect(complaints).toEqual([]);
  });

  it("redrives one dead letter that is ticked, and shows it ready", async () => {
    await open("q/images/failed");
    await page.check(`#tasks [data-task="${filled.failed[2]}"] input`);
    await page.click("text=Redrive 1");
    await page.waitForSelector("#notice:has-text('1 task redriven.')");
    await page.waitForFunction(() => document.querySelectorAll("#tasks li").length === 3);
    expect((await images.status(filled.failed[2]!)).state).toBe("ready");
    await page.click(".states .ready");
    await page.waitForSelector(`#tasks [data-task="${filled.failed[2]}"]`);
    expect(complaints).toEqual([]);
  });

  it("redrives all, and discards only when that is meant", async () => {
    await open("q/images/failed");
    await page.click("text=Discard all");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    expect(await images.stats()).toMatchObject({ failed: 4 });
    await page.check(`#tasks [data-task="${filled.failed[0]}"] input`);
    await page.click("text=Discard 1");
    await page.click("dialog button.danger");
    await page.waitForFunction(() => document.querySelectorAll("#tasks li").length === 3);
    await page.click("text=Redrive all");
    await page.click("dialog button.danger");
    await page.waitForSelector("text=No dead letters.");
    expect(await images.stats()).toMatchObject({ failed: 0, ready: 6 });
    expect(complaints).toEqual([]);
  });

  it("leads to a task by its ID from anywhere, and says so when there is none", async () => {
    await open("");
    await page.fill('[name="id"]', ` ${filled.running} `);
    await page.keyboard.press("Enter");
    await page.waitForSelector(`.id:has-text("${filled.running}")`);
    expect(await page.inputValue('[name="id"]')).toBe("");
    await page.fill('[name="id"]', EVIL);
    await page.click("text=Find");
    await page.waitForSelector("#notice:has-text('No task has this ID')");
    expect(await page.inputValue('[name="id"]')).toBe(EVIL);
    expect(complaints).toEqual([]);
  });

  it("pauses and resumes", async () => {
    await open("q/images/ready");
    await page.click("main >> text=Pause");
    await page.waitForSelector(".badge.paused");
    expect((await images.meter()).paused).toBe(true);
    await page.click("main >> text=Resume");
    await page.waitForSelector(".badge.paused", { state: "detached" });
    expect((await images.meter()).paused).toBe(false);
  });

  it("shows a task's life as it goes on, cancels it, and leads to its children", async () => {
    await open(`q/images/t/${filled.running}`);
    await page.waitForSelector("#timeline .running");
    expect(await texts("#checkpoints b")).toEqual(["download"]);
    expect(await page.getAttribute("main > progress", "value")).toBe("0.4");
    await page.click("text=Cancel");
    await page.click("dialog button.danger");
    await page.waitForSelector(".badge.cancelled");
    await page.waitForSelector("#timeline .cancelled");
    expect(await images.status(filled.running)).toMatchObject({ reason: "cancelled from the dashboard" });
    await open(`q/images/t/${filled.parent}`);
    await page.click("#children a");
    await page.waitForSelector(`.id:has-text("${filled.child}")`);
    await page.click(`.facts a:has-text("${filled.parent}")`);
    await page.waitForSelector(`.id:has-text("${filled.parent}")`);
    expect(complaints).toEqual([]);
  });

  it("draws what happens while one looks, and tells it to arrow keys and the pointer", async () => {
    await open("q/images/ready");
    await page.waitForFunction(() =>
      (document.querySelector('[data-chart="backlog"] path')?.getAttribute("d") ?? "").includes("L"),
    );
    expect(await page.getAttribute('[data-chart="backlog"]', "aria-label")).toMatch(
      /^Tasks: ready 3, running 1\./,
    );
    await page.focus('[data-chart="backlog"]');
    await page.keyboard.press("ArrowLeft");
    await page.waitForSelector('[data-chart="backlog"] .at', { state: "attached" });
    expect(await page.evaluate(() => document.activeElement?.getAttribute("data-chart"))).toBe("backlog");
    await page.hover('[data-chart="latency"]');
    await page.waitForSelector('[data-chart="latency"] .at', { state: "attached" });
  });

  it("says so when the server is away, and goes on when it is back", async () => {
    await open("q/images/ready");
    await page.waitForSelector('#live[data-live="yes"]');
    await page.context().setOffline(true);
    await page.waitForSelector('#live[data-live="no"]');
    expect((await texts("#tasks li")).length).toBe(3);
    await page.context().setOffline(false);
    await page.waitForSelector('#live[data-live="yes"]');
  });

  it("offers nothing to change where one may only look", async () => {
    const looking = queueDashboard({ queues: [images], authorize: "loopback-only", readOnly: true });
    const other = await serve(looking);
    await page.goto(`${other.url}/queues/#/q/images/failed`);
    await page.waitForSelector("#tasks li");
    expect(await texts("header .badge")).toEqual(["read only"]);
    expect(await page.$$("main button:not(.plain), main input")).toEqual([]);
    await other.close({ within: 0 });
    await looking.close();
  });

  it("keeps what is ticked and where the focus is while it is refreshed", async () => {
    await open("q/images/failed");
    await page.check(`#tasks [data-task="${filled.failed[1]}"] input`);
    await page.focus(`#tasks [data-task="${filled.failed[1]}"] input`);
    await images.discard(filled.failed[0]!);
    await page.waitForFunction(() => document.querySelectorAll("#tasks li").length === 3);
    expect(await page.isChecked(`#tasks [data-task="${filled.failed[1]}"] input`)).toBe(true);
    expect(await page.evaluate(() => document.activeElement?.getAttribute("data-id"))).toBe(filled.failed[1]);
  });

  for (const scheme of ["light", "dark"] as const)
    it(`fits a width of 400 pixels, and its texts can be read, in ${scheme}`, async () => {
      await page.setViewportSize({ width: 400, height: 800 });
      await page.emulateMedia({ colorScheme: scheme });
      for (const hash of [
        "",
        "q/images/failed",
        `q/images/t/${filled.completed}`,
        `q/images/t/${filled.parent}`,
      ]) {
        await open(hash);
        await page.waitForSelector("main .card");
        expect([hash, await page.evaluate(() => document.documentElement.scrollWidth)]).toEqual([hash, 400]);
        expect([hash, await page.evaluate(faintTexts)]).toEqual([hash, []]);
      }
    });
});

/** Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3). Runs in the page. */
function faintTexts(): readonly string[] {
  const rgb = (color: string): readonly number[] => (color.match(/[\d.]+/g) ?? []).map(Number);
  const light = (color: string): number => {
    const [r, g, b] = rgb(color).map((part) => {
      const share = part / 255;
      return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const behind = (element: Element): string => {
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if ((rgb(backgroundColor)[3] ?? 1) === 1) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const faint: string[] = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(
      (node) => node.nodeType === 3 && node.textContent?.trim() !== "",
    );
    if (!own || element.closest("svg, dialog, :disabled") !== null) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5)
      faint.push(`${element.className} ${element.textContent?.slice(0, 30)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}
