import { systemClock } from "@holdfast/core";
import type { Browser, Page } from "playwright-core";
import { chromium } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import type { Inference } from "../src/inference.ts";
import { startInference } from "../src/inference.ts";
import type { State } from "../src/scenario/client.ts";
import { Client } from "../src/scenario/client.ts";
import { asJpeg, asPng, drawn } from "../src/scenario/pictures.ts";

const executablePath = inject("chromium");

describe.skipIf(executablePath === "")("the page, in Chromium", () => {
  let service: Inference;
  let browser: Browser;
  let page: Page;
  /** What the page or the browser complained about. */
  const complaints: string[] = [];

  beforeAll(async () => {
    service = await startInference({
      port: 0,
      threads: 2,
      models: new URL("../dist/models.js", import.meta.url),
      page: new URL("../dist/page/", import.meta.url),
    });
    browser = await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
    });
  });

  afterAll(async () => {
    await browser.close();
    await service.close(1_000);
  });

  beforeEach(async () => {
    complaints.length = 0;
    page = await browser.newPage({ viewport: { width: 1_280, height: 900 } });
    page.on("pageerror", ({ message }) => complaints.push(message));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(service.url);
  });

  afterEach(async () => {
    await page.close();
  });

  /** The natural size of the newest task's picture, once it has completed. */
  async function pictureSize(): Promise<readonly [number, number]> {
    await page.waitForSelector("#tasks > li:first-child[data-state=completed] img", { timeout: 45_000 });
    return page.$eval("#tasks > li:first-child img", async (image) => {
      const picture = image as HTMLImageElement;
      await picture.decode();
      return [picture.naturalWidth, picture.naturalHeight] as const;
    });
  }

  it("renders a prompt, shows progress on the way, and then the picture", async () => {
    await page.waitForSelector("#service[data-state=up]");
    await page.fill("#prompt", "a mountain lake at sunset");
    await page.click("#prompt-form button");
    await page.waitForFunction(
      () => (document.querySelector("#tasks progress") as HTMLProgressElement).value > 0.05,
    );
    expect(await page.textContent("#tasks .state")).toMatch(/^running · \d+ %$/);
    await page.waitForSelector("#devices [data-state=busy]");
    expect(await pictureSize()).toEqual([960, 640]);
    expect(await page.textContent("#tasks .state")).toMatch(/^completed in \d+\.\d s$/);
    expect(await page.isHidden("#tasks .cancel")).toBe(true);
    const png = await page.request.get(service.url + (await page.getAttribute("#tasks .open", "href"))!);
    expect(png.headers()["content-type"]).toBe("image/png");
    expect(complaints).toEqual([]);
  });

  for (const [operation, file, size] of [
    ["op=upscale&factor=2", { name: "discs.jpg", mimeType: "image/jpeg", encode: asJpeg }, [240, 160]],
    ["op=denoise&strength=15", { name: "discs.png", mimeType: "image/png", encode: asPng }, [120, 80]],
  ] as const)
    it(`works on a picture that is chosen: ${operation}`, async () => {
      const { encode, ...named } = file;
      await page.setInputFiles("#image", { ...named, buffer: Buffer.from(encode(drawn(120, 80, 20))) });
      expect(await page.textContent("#image-name")).toBe(named.name);
      await page.selectOption("#op", operation);
      await page.click("#image-form button");
      expect(await pictureSize()).toEqual(size);
      expect(complaints).toEqual([]);
    });

  it(
    row(
      [180, 181, 186],
      "shows what every device runs and holds, where each model is, and how full the queue is",
    ),
    async () => {
      await page.waitForSelector("#models tbody tr[data-state=loaded]");
      const models = await page.$$eval("#models tbody tr", (rows) =>
        rows.map(({ textContent }) => textContent),
      );
      expect(models.map((text) => text?.match(/^[a-z]+/)?.[0])).toEqual([
        "upscale",
        "denoise",
        "style",
        "landscape",
        "inspect",
      ]);
      expect(models.slice(0, 4).every((text) => text?.includes("2 of 2"))).toBe(true);
      await page.fill("#prompt", "a river in the steppe");
      await page.click("#prompt-form button");
      await page.waitForSelector("#devices [data-state=busy]");
      expect(await page.textContent("#devices [data-state=busy]")).toMatch(
        /landscape · \d+\.\d s400 of 512 MB/,
      );
      expect(await page.textContent("#room-text")).toMatch(/^room for \d+ more of 32$/);
      expect(await pictureSize()).toEqual([960, 640]);
      await page.setViewportSize({ width: 400, height: 800 });
      // Nothing sticks out to the side of a telephone.
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(400);
      expect(complaints).toEqual([]);
    },
  );

  it("cancels a task that runs", async () => {
    await page.fill("#prompt", "aurora over a northern island");
    await page.click("#prompt-form button");
    await page.waitForSelector("#tasks > li[data-state=running]");
    await page.click("#tasks .cancel");
    await page.waitForSelector("#tasks > li[data-state=cancelled]");
    expect(await page.textContent("#tasks .state")).toBe("cancelled over HTTP");
    await expect
      .poll(async () => (await new Client(service.url, systemClock).get<State>("/v1/state")).pool.running)
      .toBe(0);
  });

  it("says what is wrong with what it cannot submit", async () => {
    const buffer = Buffer.from("not a picture");
    await page.setInputFiles("#image", { name: "broken.png", mimeType: "image/png", buffer });
    await page.click("#image-form button");
    await page.waitForSelector("#problem:not(:empty)");
    expect(await page.textContent("#problem")).toBe("the body is not a picture of type image/png");
    expect(await page.isEnabled("#image-form button")).toBe(true);
  });

  it("shows its tasks again after a reload, also one that ran meanwhile", async () => {
    await page.fill("#prompt", "a desert at dawn");
    await page.click("#prompt-form button");
    await page.waitForSelector("#tasks > li[data-state=running]");
    await page.reload();
    expect(await page.textContent("#tasks h3")).toBe("a desert at dawn");
    expect(await pictureSize()).toEqual([960, 640]);
    expect(complaints).toEqual([]);
  });

  it("follows its tasks again when its connection was lost", async () => {
    await page.fill("#prompt", "a forest in the mist");
    await page.click("#prompt-form button");
    await page.waitForSelector("#tasks > li[data-state=running]");
    await page.context().setOffline(true);
    await page.waitForSelector("#service[data-state=down]");
    await page.context().setOffline(false);
    expect(await pictureSize()).toEqual([960, 640]);
  });
});
