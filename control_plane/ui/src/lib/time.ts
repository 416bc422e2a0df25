/** Moments and spans. A relative range stays relative in the address; only freezing makes it absolute. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export interface Range {
  fromMs: number;
  toMs: number;
  /** Whether it ends now, and so moves. */
  relative: boolean;
}

export const RANGES: readonly { value: string; label: string }[] = [
  { value: "15m", label: "Last 15 minutes" },
  { value: "1h", label: "Last hour" },
  { value: "6h", label: "Last 6 hours" },
  { value: "24h", label: "Last 24 hours" },
  { value: "7d", label: "Last 7 days" },
  { value: "30d", label: "Last 30 days" },
  { value: "90d", label: "Last 90 days" },
];
export const RANGE_DEFAULT = "24h";

const UNITS: Record<string, number> = { m: MINUTE_MS, h: HOUR_MS, d: DAY_MS };

/** `24h`, or `2026-11-01T00:00:00.000Z/2026-11-02T00:00:00.000Z`; what is neither is the default. */
export function parseRange(text: string | undefined, nowMs: number): Range {
  const relative = /^(\d{1,4})([mhd])$/.exec(text ?? "");
  if (relative) {
    const span = Number(relative[1]) * (UNITS[relative[2] ?? ""] ?? 0);
    if (span > 0) return { fromMs: nowMs - span, toMs: nowMs, relative: true };
  }
  const [from, to] = (text ?? "").split("/").map((moment) => Date.parse(moment));
  if (from !== undefined && to !== undefined && from < to) return { fromMs: from, toMs: to, relative: false };
  return { fromMs: nowMs - DAY_MS, toMs: nowMs, relative: true };
}

export function frozen(range: Range): string {
  return `${new Date(range.fromMs).toISOString()}/${new Date(range.toMs).toISOString()}`;
}

/** The span of the same length right before. */
export function previous(range: Range): Range {
  return { fromMs: 2 * range.fromMs - range.toMs, toMs: range.fromMs, relative: false };
}

export function rangeLabel(text: string | undefined): string {
  const known = RANGES.find((range) => range.value === (text ?? RANGE_DEFAULT));
  if (known) return known.label;
  const range = parseRange(text, Date.now());
  return `${dateTime(range.fromMs)} – ${dateTime(range.toMs)}`;
}

const two = (value: number) => String(value).padStart(2, "0");

/** 28 Nov 14:03 in the reader's zone; with the year when it is another. */
export function dateTime(moment: number | string | null | undefined, nowMs = Date.now()): string {
  if (moment === null || moment === undefined) return "—";
  const at = new Date(moment);
  const month = at.toLocaleString("en-GB", { month: "short" });
  const year = at.getFullYear() === new Date(nowMs).getFullYear() ? "" : ` ${at.getFullYear()}`;
  return `${at.getDate()} ${month}${year} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** To the millisecond, for details. */
export function exact(moment: number | string): string {
  const at = new Date(moment);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${date} ${time}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export function clock(moment: number | string): string {
  const at = new Date(moment);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** “now”, “12 s ago”, “in 3 d”. */
export function ago(moment: number | string | null | undefined, nowMs: number): string {
  if (moment === null || moment === undefined) return "never";
  const passed = nowMs - new Date(moment).getTime();
  const size = Math.abs(passed);
  if (size < 2_000) return "now";
  const text = span(size);
  return passed > 0 ? `${text} ago` : `in ${text}`;
}

export function span(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.round(ms / 1000)} s`;
  if (ms < HOUR_MS) return `${Math.round(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.round(ms / HOUR_MS)} h`;
  if (ms < 60 * DAY_MS) return `${Math.round(ms / DAY_MS)} d`;
  return `${Math.round(ms / (30 * DAY_MS))} months`;
}

/** Under a chart: the time of day, the day where the chart spans several, or the month where it spans many. */
export function axisTime(moment: number, spanMs: number): string {
  const at = new Date(moment);
  const month = at.toLocaleString("en-GB", { month: "short" });
  if (spanMs > 300 * DAY_MS) return `${month} ${at.getFullYear()}`;
  const midnight = at.getHours() === 0 && at.getMinutes() === 0;
  if (spanMs > 2 * DAY_MS || midnight) return `${at.getDate()} ${month}`;
  return `${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** What stands in an input of local time, as the API wants it; what is no time goes as it is, and the API says so. */
export function moment(local: string): string | null {
  if (!local) return null;
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? local : at.toISOString();
}
