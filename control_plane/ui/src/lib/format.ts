/** Numbers, money and durations as people read them. Unknown is a dash, never a zero. */

export const UNKNOWN = "—";

const whole = new Intl.NumberFormat("en-US");
const MICROSECONDS_S = 1_000_000;

/** 1,234,567 */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : whole.format(value);
}

/** 1.2k, 3.4M: three digits at most, for tight places. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  for (const [limit, unit] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (size >= limit) return `${digits(value / limit)}${unit}`;
  }
  return Number.isInteger(value) ? String(value) : digits(value);
}

function digits(value: number): string {
  const size = Math.abs(value);
  return trimmed(value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2));
}

function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** US dollars, two digits from a dollar on, below it as many as tell something: $0.0021. */
export function money(value: number | string | null | undefined): string {
  if (value === null || value === undefined || value === "") return UNKNOWN;
  const dollars = Number(value);
  if (!Number.isFinite(dollars)) return UNKNOWN;
  if (dollars === 0) return "$0";
  const sign = dollars < 0 ? "-" : "";
  const size = Math.abs(dollars);
  if (size >= 1_000_000) return `${sign}$${short(size)}`;
  if (size >= 1)
    return `${sign}$${size.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (size >= 0.01) return `${sign}$${trimmed(size.toFixed(4))}`;
  if (size < 0.000_000_1) return `${sign}<$0.0000001`;
  return `${sign}$${trimmed(size.toFixed(7))}`;
}

/** 850 µs, 12.3 ms, 1.24 s, 2 min 5 s. */
export function duration(us: number | null | undefined): string {
  if (us === null || us === undefined) return UNKNOWN;
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < MICROSECONDS_S) return `${digits(us / 1000)} ms`;
  const seconds = us / MICROSECONDS_S;
  if (seconds < 60) return `${digits(seconds)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1024) return `${value} B`;
  for (const [limit, unit] of [
    [1024 ** 3, "GiB"],
    [1024 ** 2, "MiB"],
    [1024, "KiB"],
  ] as const) {
    if (value >= limit) return `${digits(value / limit)} ${unit}`;
  }
  return UNKNOWN;
}

/** A share of one: 0.0123 is 1.23 %. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return UNKNOWN;
  if (share > 0 && share < 0.000_05) return "<0.01 %";
  return `${digits(share * 100)} %`;
}

/** How much `now` differs from `before`, with its sign; unknown without a before. */
export function change(now: number | null | undefined, before: number | null | undefined): string {
  if (now === null || now === undefined || !before) return UNKNOWN;
  const share = now / before - 1;
  if (Math.abs(share) < 0.0005) return "±0 %";
  return `${share > 0 ? "+" : "−"}${digits(Math.abs(share) * 100)} %`;
}

const CAPITALS: Record<string, string> = { api: "API", url: "URL", id: "id" };

/** `in_use` is “in use”, `api_key` is “API key”. */
export function spoken(word: string): string {
  return word
    .split(/[_.]+/)
    .map((part) => CAPITALS[part] ?? part)
    .join(" ");
}

/** With a capital letter. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const DONE: Record<string, string> = {
  create: "made",
  update: "changed",
  delete: "deleted",
  enrol: "enrolled",
};
const WHOLE: Record<string, string> = {
  "api_keys.delete": "revoked",
  "admin_keys.delete": "revoked",
  "nodes.delete": "revoked",
};

/** What an action of the audit did: `configs.update` is “changed”. */
export function did(action: string): string {
  const verb = action.slice(action.lastIndexOf(".") + 1);
  return WHOLE[action] ?? DONE[verb] ?? spoken(action);
}
