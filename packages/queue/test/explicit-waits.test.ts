import { defineTask, explicitWaits, handle } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { bench } from "./bench.ts";

describe("explicitWaits", () => {
  it("waits as long as it is told, and the last wait again and again", async () => {
    const { queue, clock, work } = bench();
    const backoff = explicitWaits("1m", "5m", "10m");
    const failing = defineTask({ name: "failing", attempts: 6, backoff });
    const at: number[] = [];
    await using _ = work([
      handle(failing, () => {
        at.push(clock.monotonic());
        throw new Error("not yet");
      }),
    ]);
    await queue.enqueue(failing, undefined);
    await clock.advance("1h");
    const minutes = at.slice(1).map((time, index) => (time - at[index]!) / 60_000);
    expect(minutes).toEqual([1, 5, 10, 10, 10]);
    expect(backoff.summary).toBe("waits of 1m, 5m, 10m");
  });

  it("refuses no waits, too many, and what is no duration", () => {
    expect(() => explicitWaits()).toThrow(/waits/);
    expect(() => explicitWaits(...Array.from({ length: 101 }, () => 1))).toThrow(/waits/);
    expect(() => explicitWaits("1m", -1)).toThrow(/waits\[1\]/);
  });
});

describe("a task that keeps failing", () => {
  it(row(140, "is a dead letter after 5 tries, to be looked at by hand"), async () => {
    const { queue, clock, work } = bench();
    const failing = defineTask<string>({ name: "failing", attempts: 5 });
    let tries = 0;
    await using _ = work([
      handle(failing, () => {
        tries += 1;
        throw Object.assign(new Error("the bank is closed"), { code: "BANK_CLOSED" });
      }),
    ]);
    const { id } = await queue.enqueue(failing, "x");
    await clock.advance("1h");
    expect(tries).toBe(5);
    const [letter] = await queue.deadLetters();
    expect(letter).toMatchObject({
      id,
      attempt: 5,
      error: { code: "BANK_CLOSED", message: "the bank is closed" },
    });
  });

  it(row(179, "is a dead letter after 10 tries, and holds up none of those behind it"), async () => {
    const { queue, clock, work } = bench();
    const send = defineTask<string, string, string>({ name: "send", attempts: 10 });
    await using _ = work(
      [
        handle(send, ({ input }) => {
          if (input === "poison") throw new Error("cannot be sent");
          return input;
        }),
      ],
      { concurrency: 1 },
    );
    const poison = await queue.enqueue(send, "poison");
    const others = await Promise.all(["a", "b", "c"].map((input) => queue.enqueue(send, input)));
    await clock.advance("1ms");
    for (const { id } of others) expect((await queue.status(id)).state).toBe("completed");
    expect((await queue.status(poison.id)).state).toBe("scheduled");
    await clock.advance("2h");
    expect(await queue.status(poison.id)).toMatchObject({ state: "failed", attempt: 10 });
  });
});
