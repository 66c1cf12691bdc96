// Numbers and times as people read them.

/** `350 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${ms < 10 ? round(ms, 1) : Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 10) return `${round(seconds, 1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return two(minutes, "min", Math.round(seconds) % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return two(hours, "h", minutes % 60, "min");
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** `in 3 s`, `3 s ago`. */
export function fromNow(at: number, now: number): string {
  if (Math.abs(at - now) < 500) return "now";
  return at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`;
}

/** `0.25`, `4.2`, `1,234`. */
export function amount(value: number): string {
  return (value >= 100 ? Math.round(value) : round(value, value >= 10 ? 1 : 2)).toLocaleString("en");
}

/** Local time of day; with the date, when that is another day than now. */
export function clockTime(at: number, now: number): string {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB");
  const isToday = date.toDateString() === new Date(now).toDateString();
  return isToday ? time : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/** `1 task`, `2 tasks`. */
export function count(value: number, what: string): string {
  return `${value.toLocaleString("en")} ${what}${value === 1 ? "" : "s"}`;
}

/** What a task waits for: `for “paid” or “cancelled”`. */
export function waitingFor(wait: {
  readonly events?: readonly string[];
  readonly children?: boolean;
}): string {
  const names = (wait.events ?? []).map((event) => `“${event}”`);
  const all = wait.children === true ? [...names, "its children"] : names;
  return all.length === 0 ? "asleep" : `for ${all.join(" or ")}`;
}

function two(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smallUnit}`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
