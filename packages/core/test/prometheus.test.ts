import { afterEach, describe, expect, it } from "vitest";
import type { MetricTable, Prometheus, PrometheusOptions } from "@holdfast/core";
import {
  channel,
  channelMetrics,
  coreMetrics,
  fallback,
  InvalidOptionError,
  prometheus,
  PROMETHEUS_DEFAULTS,
} from "@holdfast/core";

interface Served {
  readonly route: string;
  readonly seconds: number;
}

const requests = channel<Served>("test", "request");

const table: MetricTable = [
  channelMetrics<Served>("test", "request", {
    metrics: [
      {
        name: "test.http.requests",
        type: "counter",
        unit: "{request}",
        help: "Requests,\nby \\ route.",
        labels: { "http.route": ({ route }) => route },
      },
      {
        name: "test.http.duration",
        type: "histogram",
        unit: "s",
        help: "How long they took.",
        labels: { "http.route": ({ route }) => route },
        value: ({ seconds }) => seconds,
        buckets: [0.1, 1],
      },
    ],
  }),
];

const open: Prometheus[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

function counting(options: PrometheusOptions = { tables: [table] }): Prometheus {
  const made = prometheus(options);
  open.push(made);
  return made;
}

describe("prometheus, the text", () => {
  it("writes counters with _total and histograms with cumulative buckets, sum and count", () => {
    const numbers = counting();
    for (const seconds of [0.05, 0.1, 0.5, 7]) requests.publish({ route: "/a", seconds });
    expect(numbers.text()).toBe(`# HELP test_http_requests_total Requests,\\nby \\\\ route.
# TYPE test_http_requests_total counter
test_http_requests_total{http_route="/a"} 4
# HELP test_http_duration_seconds How long they took.
# TYPE test_http_duration_seconds histogram
test_http_duration_seconds_bucket{http_route="/a",le="0.1"} 2
test_http_duration_seconds_bucket{http_route="/a",le="1"} 3
test_http_duration_seconds_bucket{http_route="/a",le="+Inf"} 4
test_http_duration_seconds_sum{http_route="/a"} 7.65
test_http_duration_seconds_count{http_route="/a"} 4
`);
  });

  it("writes a gauge as its latest event said", () => {
    const numbers = counting({
      tables: [
        [
          channelMetrics<Served>("test", "request", {
            metrics: [
              {
                name: "test.http.open",
                type: "gauge",
                unit: "{request}",
                help: "Requests now.",
                labels: { "http.route": ({ route }) => route },
                value: ({ seconds }) => seconds,
              },
            ],
          }),
        ],
      ],
    });
    for (const seconds of [7, 3]) requests.publish({ route: "/a", seconds });
    requests.publish({ route: "/b", seconds: 0 });
    expect(numbers.text()).toBe(`# HELP test_http_open Requests now.
# TYPE test_http_open gauge
test_http_open{http_route="/a"} 3
test_http_open{http_route="/b"} 0
`);
  });

  it("keeps any label value whole through the escapes, half a surrogate pair aside", () => {
    const numbers = counting();
    const odd = ['say "hi"', "back\\slash", "two\nlines", "\\n", "ünï😀", "a,b}c=1 2", ""];
    for (const route of [...odd, "\uD83D", "\uD83E"]) requests.publish({ route, seconds: 1 });
    const [family] = parse(numbers.text());
    expect(family?.samples.map(({ labels, value }) => [labels["http_route"], value])).toEqual([
      ...odd.map((route) => [route, 1]),
      ["\uFFFD", 2],
    ]);
  });

  it("obeys the format with every metric of core, before and after events", async () => {
    const numbers = counting({});
    expect(parse(numbers.text()).map(({ samples }) => samples.length)).not.toContain(1);
    for (const { owner, event } of coreMetrics) channel<object>(owner, event).publish(SAMPLE_EVENT);
    await fallback("nobody").run(() => Promise.reject(new Error("no")));
    const families = parse(numbers.text());
    expect(families.map(({ name }) => name)).toHaveLength(
      coreMetrics.flatMap(({ metrics }) => metrics).length,
    );
    expect(families.map(({ samples }) => samples.length)).not.toContain(0);
  });

  it("is refused by a parser that knows the rules, where the text breaks them", () => {
    const broken = [
      "a_total 1\n",
      "# TYPE a counter\na 1\n",
      "# TYPE a_total counter\na_total 1",
      "# TYPE a_total counter\na_total 1\na_total 2\n",
      '# TYPE a_total counter\na_total{x="1} 2\n',
      '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      '# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
      '# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
    ];
    for (const text of broken) expect(() => parse(text), text).toThrow();
  });
});

describe("prometheus, its bounds", () => {
  it("keeps at most maxSeries series of a metric and counts the rest together", () => {
    const numbers = counting({ tables: [table], maxSeries: 3 });
    for (let n = 0; n < 1_000; n += 1) requests.publish({ route: `/${n}`, seconds: 1 });
    requests.publish({ route: "/1", seconds: 1 });
    const [counter, histogram] = parse(numbers.text());
    expect(counter?.samples.map(({ labels, value }) => [labels, value])).toEqual([
      [{ http_route: "/0" }, 1],
      [{ http_route: "/1" }, 2],
      [{ http_route: "/2" }, 1],
      [{ overflow: "true" }, 997],
    ]);
    const counts = histogram?.samples.filter(({ name }) => name.endsWith("_count"));
    expect(counts?.map(({ value }) => value)).toEqual([1, 2, 1, 997]);
  });

  it("cuts long label values", () => {
    const numbers = counting();
    requests.publish({ route: "x".repeat(100_000), seconds: 1 });
    expect(numbers.text().length).toBeLessThan(3_000);
  });

  it("skips amounts that are no amounts", () => {
    const numbers = counting();
    for (const seconds of [NaN, Infinity, -1]) requests.publish({ route: "/a", seconds });
    const [counter, histogram] = parse(numbers.text());
    expect(counter?.samples[0]?.value).toBe(3);
    expect(histogram?.samples).toEqual([]);
  });

  it("[bug 5] a table that throws changes no outcome, and costs no other metric", async () => {
    const broken = (): never => {
      throw new Error("reader");
    };
    const one = { type: "counter", unit: "{call}", help: "Counts." } as const;
    const numbers = counting({
      tables: [
        [
          channelMetrics("core", "fallback", {
            metrics: [
              { ...one, name: "test.broken", labels: { broken } },
              { ...one, name: "test.amountless", value: broken },
              { ...one, name: "test.sound" },
            ],
          }),
        ],
      ],
    });
    await expect(fallback("nobody").run(() => Promise.reject(new Error("no")))).resolves.toBe("nobody");
    expect(parse(numbers.text()).map(({ samples }) => samples.length)).toEqual([0, 0, 1]);
  });

  it("listens no more once it is closed, and still shows what it has counted", () => {
    const numbers = counting();
    requests.publish({ route: "/a", seconds: 1 });
    const before = numbers.text();
    expect(requests.hasSubscribers).toBe(true);
    numbers.close();
    numbers.close();
    expect(requests.hasSubscribers).toBe(false);
    requests.publish({ route: "/a", seconds: 1 });
    expect(numbers.text()).toBe(before);
    {
      using scoped = prometheus();
      expect(scoped.text()).toContain("holdfast_retry_retries_total");
    }
    expect(coreMetrics.map(({ owner, event }) => channel(owner, event).hasSubscribers)).not.toContain(true);
  });
});

describe("prometheus, the handler", () => {
  it("answers GET with the text and its type, HEAD without a body", async () => {
    const { handler, text } = { handler: counting().handler, text: open[0]!.text() };
    const got = await handler(new Request("http://localhost/metrics"));
    expect(got.status).toBe(200);
    expect(got.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    await expect(got.text()).resolves.toBe(text);
    const head = await handler(new Request("http://localhost/metrics", { method: "HEAD" }));
    expect(head.headers.get("content-type")).toBe(got.headers.get("content-type"));
    await expect(head.text()).resolves.toBe("");
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS"])(
    "refuses %s with 405 and tells what is allowed",
    async (method) => {
      const refused = await counting().handler(new Request("http://localhost/metrics", { method }));
      expect(refused.status).toBe(405);
      expect(refused.headers.get("allow")).toBe("GET, HEAD");
      await expect(refused.json()).resolves.toMatchObject({ status: 405, code: "METHOD_NOT_ALLOWED" });
    },
  );
});

describe("prometheus, its options", () => {
  it("has the documented defaults", () => {
    expect(PROMETHEUS_DEFAULTS).toEqual({ maxSeries: 1_000 });
  });

  it.each([
    [{ maxSeries: 0 }, "maxSeries"],
    [{ maxSeries: 1.5 }, "maxSeries"],
    [{ maxSeries: 100_001 }, "maxSeries"],
    [{ tables: [table, table] }, "tables"],
  ])("refuses %j", (options, option) => {
    expect(() => prometheus(options)).toThrow(InvalidOptionError);
    expect(() => prometheus(options)).toThrow(option);
  });

  it("refuses two names that are one in Prometheus", () => {
    const metric = { type: "counter", unit: "{call}", help: "Counts." } as const;
    const clash: MetricTable = [
      channelMetrics("test", "clash", {
        metrics: [
          { ...metric, name: "a.b" },
          { ...metric, name: "a_b" },
        ],
      }),
    ];
    expect(() => prometheus({ tables: [clash] })).toThrow(/a_b_total/);
  });
});

/** Fits every channel of core closely enough to be counted. */
const SAMPLE_EVENT = {
  policy: "p",
  attempt: 1,
  attempts: 1,
  delayMs: 1,
  afterMs: 1,
  reason: "attempts",
  because: "slow",
  by: "budget",
  hedge: 1,
  hedges: 1,
  code: "CODE",
  level: "info",
  disturbance: "latency",
  step: "acquired",
  dependency: "db",
  status: "up",
  clean: true,
  hooks: [],
};

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly name: string;
  readonly type: string;
  readonly samples: Sample[];
}

/** Reads the text exposition format 0.0.4 and throws where a rule is broken. */
function parse(text: string): Family[] {
  if (!text.endsWith("\n")) throw new Error("the last line must end with a line feed");
  const families: Family[] = [];
  for (const line of text.slice(0, -1).split("\n")) {
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|histogram)$/.exec(line);
    if (type !== null) families.push({ name: type[1]!, type: type[2]!, samples: [] });
    else if (line.startsWith("# HELP ")) checkHelp(line);
    else families.at(-1)!.samples.push(parseSample(line));
  }
  if (new Set(families.map(({ name }) => name)).size !== families.length) throw new Error("a family twice");
  for (const family of families) checkFamily(family);
  return families;
}

function checkHelp(line: string): void {
  if (!/^# HELP [a-zA-Z_:][\w:]* (?:[^\\]|\\\\|\\n)+$/.test(line))
    throw new Error(`not a HELP line: ${line}`);
}

function parseSample(line: string): Sample {
  const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  const value = Number(found?.[3]);
  if (found === null || Number.isNaN(value)) throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = found[2] ?? "";
  while (rest !== "") {
    const label = /^([a-zA-Z_]\w*)="((?:[^"\\]|\\\\|\\n|\\")*)"(?:,|$)/.exec(rest);
    if (label === null || label[1]! in labels) throw new Error(`not a label: ${rest}`);
    labels[label[1]!] = label[2]!.replaceAll(/\\(.)/g, (_all, escape: string) =>
      escape === "n" ? "\n" : escape,
    );
    rest = rest.slice(label[0].length);
  }
  return { name: found[1]!, labels, value };
}

function checkFamily({ name, type, samples }: Family): void {
  const keys = samples.map((sample) => JSON.stringify([sample.name, sample.labels]));
  if (new Set(keys).size !== keys.length) throw new Error(`${name}: a series twice`);
  if (type === "histogram") return checkHistogram(name, samples);
  if (!name.endsWith("_total")) throw new Error(`${name}: a counter ends in _total`);
  if (samples.some((sample) => sample.name !== name)) throw new Error(`${name}: a foreign sample`);
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  for (const key of new Set(samples.map(seriesKey))) {
    const series = samples.filter((sample) => seriesKey(sample) === key);
    const buckets = series.filter((sample) => sample.name === `${name}_bucket`);
    const [sum, ...sums] = series.filter((sample) => sample.name === `${name}_sum`);
    const [count, ...counts] = series.filter((sample) => sample.name === `${name}_count`);
    if (
      sum === undefined ||
      count === undefined ||
      sums.length + counts.length > 0 ||
      series.length !== buckets.length + 2
    )
      throw new Error(`${name}: not one sum and one count`);
    const bounds = buckets.map(({ labels }) => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"])));
    if (!rises(bounds) || bounds.at(-1) !== Infinity) throw new Error(`${name}: bounds must rise to +Inf`);
    if (!buckets.every(({ value }, at) => value >= (buckets[at - 1]?.value ?? 0)))
      throw new Error(`${name}: buckets must be cumulative`);
    if (buckets.at(-1)?.value !== count.value) throw new Error(`${name}: +Inf must hold all`);
  }
}

function rises(numbers: readonly number[]): boolean {
  return numbers.every((number, at) => number > (numbers[at - 1] ?? -Infinity));
}

function seriesKey({ labels }: Sample): string {
  return JSON.stringify(Object.entries(labels).filter(([label]) => label !== "le"));
}
