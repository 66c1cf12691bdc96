// Dates of HTTP fields.

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const TIME = "(\\d\\d):(\\d\\d):(\\d\\d)";
/** `Sun, 06 Nov 1994 08:49:37 GMT` */
const FIXED = new RegExp(`^[a-z]{3}, (\\d\\d) ([a-z]{3}) (\\d{4}) ${TIME} GMT$`, "i");
/** `Sunday, 06-Nov-94 08:49:37 GMT` */
const RFC_850 = new RegExp(`^[a-z]{6,9}, (\\d\\d)-([a-z]{3})-(\\d\\d) ${TIME} GMT$`, "i");
/** `Sun Nov  6 08:49:37 1994` */
const ASCTIME = new RegExp(`^[a-z]{3} ([a-z]{3}) ([ \\d]\\d) ${TIME} (\\d{4})$`, "i");

/**
 * A date in one of the three forms of RFC 9110 §5.6.7, as milliseconds since the epoch; `undefined` for anything else.
 *
 * @param nowMs - A year of two digits that would be more than 50 years ahead of it is one of the century before.
 */
export function parseHttpDate(text: string | null, nowMs: number): number | undefined {
  if (text === null) return undefined;
  const fixed = FIXED.exec(text);
  if (fixed !== null) return utc(fixed[3], fixed[2], fixed[1], fixed.slice(4));
  const asctime = ASCTIME.exec(text);
  if (asctime !== null) return utc(asctime[6], asctime[1], asctime[2], asctime.slice(3, 6));
  const old = RFC_850.exec(text);
  if (old === null) return undefined;
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + Number(old[3]);
  return utc(String(year > thisYear + 50 ? year - 100 : year), old[2], old[1], old.slice(4));
}

/** The preferred form, in whole seconds. */
export function formatHttpDate(ms: number): string {
  return new Date(ms).toUTCString();
}

function utc(
  year: string | undefined,
  monthName: string | undefined,
  day: string | undefined,
  time: readonly (string | undefined)[],
): number | undefined {
  const month = MONTHS.indexOf(monthName!.toLowerCase());
  const [hour, minute, second] = time.map(Number);
  // A leap second is the next one.
  const isTime = hour! < 24 && minute! < 60 && second! <= 60;
  const ms = Date.UTC(Number(year), month, Number(day), hour, minute, second);
  const isDay =
    Number(day) >= 1 && Number(day) <= new Date(Date.UTC(Number(year), month + 1, 0)).getUTCDate();
  return month < 0 || !isTime || !isDay ? undefined : ms;
}
