// The page of hit rates, as Markdown.
import { POLICIES, SIZES } from "./hit-rates.mjs";
import { KEYS, REQUESTS, TRACES } from "./traces.mjs";

/** Those that a cache can have. */
const REAL = POLICIES.filter((policy) => policy !== "optimum");

const count = (number) => number.toLocaleString("en");
const percent = (rate) => (100 * rate).toFixed(1);

/**
 * @param {readonly import("./hit-rates.mjs").Measured[]} measured
 * @returns {string}
 */
export function hitRatePage(measured) {
  return `# Hit rates of the memory tier

<!-- Written by \`node packages/cache/sim/cli.mjs\`; a test holds it against what that measures. -->

How many of ${count(REQUESTS)} requests are hits, in percent, for caches of ${SIZES.map(count).join(", ")} entries (the Zipf traces have ${count(KEYS)} keys). Every miss is put into the cache. The best of the three that do not know the future is bold.

![Hit rates by trace and size of the cache](cache/hit-rates.svg)

| Trace | Entries | ${POLICIES.join(" | ")} |
| --- | ---: | ${POLICIES.map(() => "---:").join(" | ")} |
${measured.map(line).join("\n")}
| **mean of all** | | ${POLICIES.map((policy) => percent(meanOf(measured, policy))).join(" | ")} |
| share of the optimum | | ${POLICIES.map((policy) => percent(shareOf(measured, policy))).join(" | ")} |

- **LRU** is \`lru-cache\`, the default.
- **SIEVE** (Zhang et al., NSDI 2024) was measured and not taken: [ADR 13](adr/0013-w-tinylfu-beside-lru.md).
- **W-TinyLFU** (Einziger, Friedman and Manes, 2017; window by hill climbing, 2018) is what the package has beside LRU.
- **Optimum** is Belády's MIN, which knows the future and may pass an entry by. Nobody reaches it.

## Traces

${TRACES.map(({ name, about }) => `- **${name}**: ${about}.`).join("\n")}

## What to take

W-TinyLFU where something other than recency decides: popularity that lasts, scans, loops, keys that are asked for once. LRU where what was just asked for is asked for again soon and then never (the last two traces): W-TinyLFU finds that out and widens its window, but it takes some thousand requests, and a small cache cannot tell it from chance. W-TinyLFU costs about twice as much time for each \`get\` and \`set\` as \`lru-cache\`.
`;
}

function line({ trace, size, rates }) {
  const best = Math.max(...REAL.map((policy) => rates[policy]));
  const cells = POLICIES.map((policy) => {
    const isBest = REAL.includes(policy) && percent(rates[policy]) === percent(best) && best > 0;
    return isBest ? `**${percent(rates[policy])}**` : percent(rates[policy]);
  });
  return `| ${trace} | ${count(size)} | ${cells.join(" | ")} |`;
}

function meanOf(measured, policy) {
  return measured.reduce((sum, { rates }) => sum + rates[policy], 0) / measured.length;
}

function shareOf(measured, policy) {
  return measured.reduce((sum, { rates }) => sum + rates[policy] / rates.optimum, 0) / measured.length;
}
