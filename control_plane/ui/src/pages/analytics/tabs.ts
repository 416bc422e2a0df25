/** What each tab of the analytics shows, as data. */

import { count, duration, money, percent, short } from "@/lib/format";

export type Format = (value: number | null) => string;

/** How a measure is called and written, and whether more of it is better, worse or neither. */
export interface Said {
  name: string;
  format: Format;
  /** For axes, where space is short. */
  brief?: Format;
  better?: "more" | "less";
  note: string;
}

const took = (name: string, note: string): Said => ({ name, format: duration, better: "less", note });
const told = (name: string, note: string, better?: "more" | "less"): Said => ({
  name,
  format: count,
  brief: short,
  note,
  ...(better ? { better } : {}),
});

export const SAID: Record<string, Said> = {
  requests: told("Requests", "Requests to models, also those that were refused"),
  errors: told("Errors", "Answered with a status from 400 on, refused, broken off or aborted", "less"),
  error_rate: { name: "Error rate", format: percent, better: "less", note: "Errors among requests" },
  rescued: told("Rescued", "Answered well after a retry or a fallback", "more"),
  retries: told("Retries", "Calls to providers that repeated one to the same target", "less"),
  fallbacks: told("Fallbacks", "Targets given up for the next one", "less"),
  attempts: told("Calls to providers", "All attempts together"),
  unsettled: told("Unsettled", "Calls to providers that may have cost something and did not say so", "less"),
  streams: told("Streams", "Requests whose answer was asked for as a stream"),
  cost_usd: { name: "Cost", format: money, better: "less", note: "Of the requests whose price is known, US dollars" },
  cost_input_usd: { name: "Input", format: money, note: "Input tokens not counted elsewhere" },
  cost_output_usd: { name: "Output", format: money, note: "Output tokens not counted elsewhere" },
  cost_cache_read_usd: { name: "Cached input", format: money, note: "Tokens read from a provider's cache" },
  cost_cache_write_usd: { name: "Cache writes", format: money, note: "Tokens written to a provider's cache" },
  cost_audio_usd: { name: "Audio", format: money, note: "Audio tokens, in and out" },
  cost_reasoning_usd: { name: "Reasoning", format: money, note: "Tokens spent on thinking" },
  cost_unknown: told("Unpriced", "Requests whose cost is unknown: no sum of cost has them", "less"),
  tokens: told("Tokens", "Input and output together"),
  input_tokens: told("Input tokens", "All of them, cached and audio ones among them"),
  output_tokens: told("Output tokens", "All of them, reasoning and audio ones among them"),
  cache_write_tokens: told("Cache writes", "Input tokens written to providers' own caches"),
  cache_read_tokens: told("Cached tokens", "Input tokens read from providers' own caches", "more"),
  reasoning_tokens: told("Reasoning tokens", "Output tokens spent on thinking"),
  usage_estimated: told("Estimated", "Requests whose tokens were estimated from bytes", "less"),
  usage_unknown: told("Unknown usage", "Requests whose tokens are unknown: no sum of tokens has them", "less"),
  duration_avg_us: took("Average latency", "From the head of the request to the last byte of its answer"),
  duration_p50_us: took("p50 latency", "Half took no longer, from the head to the last byte"),
  duration_p90_us: took("p90 latency", "90 % took no longer, from the head to the last byte"),
  duration_p95_us: took("p95 latency", "95 % took no longer, from the head to the last byte"),
  duration_p99_us: took("p99 latency", "99 % took no longer, from the head to the last byte"),
  first_byte_p50_us: took("p50 to first byte", "To the first byte of content"),
  first_byte_p90_us: took("p90 to first byte", "To the first byte of content"),
  first_byte_p95_us: took("p95 to first byte", "95 % had the first byte of content no later"),
  first_byte_p99_us: took("p99 to first byte", "To the first byte of content"),
  overhead_p50_us: took("p50 overhead", "The gateway's own share"),
  overhead_p95_us: took("p95 overhead", "95 % had no more of the gateway's own share"),
  overhead_p99_us: took("p99 overhead", "The gateway's own share"),
  last_seen: { name: "Last seen", format: (value) => String(value ?? "—"), note: "When the last one began" },
};

const COST_PARTS = [
  "cost_input_usd",
  "cost_output_usd",
  "cost_cache_read_usd",
  "cost_cache_write_usd",
  "cost_reasoning_usd",
  "cost_audio_usd",
];

const LEFT_OUT: Record<string, { measure: string; word: string }> = {
  cost_usd: { measure: "cost_unknown", word: "unpriced" },
  tokens: { measure: "usage_unknown", word: "unknown" },
};

/** How many requests are not in a sum, and how these are called; undefined where the measures say it themselves. */
export function leftOut(measure: string, measures: readonly string[]): { measure: string; word: string } | undefined {
  const found = LEFT_OUT[measure];
  return found && !measures.includes(found.measure) ? found : undefined;
}

/** The measures, and how many requests are not in their sums. */
export function withLeftOut(measures: readonly string[]): readonly string[] {
  const unknown = measures.flatMap((measure) => leftOut(measure, measures)?.measure ?? []);
  return [...measures, ...unknown];
}

export function said(measure: string): Said {
  return SAID[measure] ?? { name: measure, format: count, note: "" };
}

export type Chart =
  | { kind: "measures"; title: string; note: string; measures: readonly string[]; stacked?: boolean }
  | { kind: "dimension"; title: string; note: string; measure: string; by: string | null };

export interface Tab {
  id: string;
  label: string;
  stats: readonly string[];
  charts: readonly Chart[];
  /** Columns of the table, and what it is sorted by. */
  table: readonly string[];
  by: string;
}

/** `by: null` is the dimension chosen for the table. */
export const TABS: readonly Tab[] = [
  {
    id: "overview",
    label: "Overview",
    stats: ["requests", "error_rate", "duration_p95_us", "cost_usd", "tokens", "rescued"],
    charts: [
      {
        kind: "dimension",
        title: "Requests by status",
        note: "By the first digit of the answer's status",
        measure: "requests",
        by: "status_class",
      },
      {
        kind: "measures",
        title: "Latency",
        note: "From the head of the request to the last byte of its answer",
        measures: ["duration_p50_us", "duration_p95_us", "duration_p99_us"],
      },
      {
        kind: "dimension",
        title: "Cost",
        note: "US dollars; requests of unknown price are not in it",
        measure: "cost_usd",
        by: null,
      },
      {
        kind: "measures",
        title: "Tokens",
        note: "As providers count them",
        measures: ["input_tokens", "output_tokens"],
        stacked: true,
      },
    ],
    table: ["requests", "error_rate", "cost_usd", "duration_avg_us", "duration_p95_us", "tokens"],
    by: "model",
  },
  {
    id: "cost",
    label: "Cost",
    stats: ["cost_usd", ...COST_PARTS, "cost_unknown"],
    charts: [
      {
        kind: "dimension",
        title: "Cost",
        note: "US dollars, by the dimension of the table",
        measure: "cost_usd",
        by: null,
      },
      {
        kind: "measures",
        title: "What it is made of",
        note: "Parts add up to the cost",
        measures: COST_PARTS,
        stacked: true,
      },
      { kind: "measures", title: "Unpriced requests", note: "No sum of cost has them", measures: ["cost_unknown"] },
    ],
    table: ["cost_usd", "requests", "tokens", "cost_input_usd", "cost_output_usd", "cost_unknown"],
    by: "model",
  },
  {
    id: "latency",
    label: "Latency",
    stats: ["duration_p50_us", "duration_p95_us", "duration_p99_us", "first_byte_p95_us", "overhead_p95_us"],
    charts: [
      {
        kind: "measures",
        title: "Latency",
        note: "From the head of the request to the last byte of its answer",
        measures: ["duration_p50_us", "duration_p90_us", "duration_p99_us"],
      },
      {
        kind: "measures",
        title: "Time to first byte",
        note: "To the first byte of content",
        measures: ["first_byte_p50_us", "first_byte_p90_us", "first_byte_p99_us"],
      },
      {
        kind: "measures",
        title: "The gateway's own share",
        note: "Time to the first byte less what callers and providers took",
        measures: ["overhead_p50_us", "overhead_p95_us", "overhead_p99_us"],
      },
    ],
    table: [
      "requests",
      "duration_p50_us",
      "duration_p95_us",
      "duration_p99_us",
      "first_byte_p95_us",
      "overhead_p95_us",
    ],
    by: "model",
  },
  {
    id: "errors",
    label: "Errors",
    stats: ["errors", "error_rate", "retries", "fallbacks", "rescued", "unsettled"],
    charts: [
      { kind: "measures", title: "Error rate", note: "Errors among requests", measures: ["error_rate"] },
      {
        kind: "dimension",
        title: "Errors by code",
        note: "The gateway's error code, or provider_error where a provider's own error was passed on",
        measure: "errors",
        by: "error",
      },
      {
        kind: "measures",
        title: "Rescues",
        note: "What retries and fallbacks did",
        measures: ["retries", "fallbacks", "rescued"],
      },
    ],
    table: ["errors", "requests", "error_rate", "retries", "fallbacks", "rescued"],
    by: "error",
  },
  {
    id: "tokens",
    label: "Tokens",
    stats: ["tokens", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "usage_unknown"],
    charts: [
      {
        kind: "measures",
        title: "Tokens",
        note: "As providers count them",
        measures: ["input_tokens", "output_tokens"],
        stacked: true,
      },
      {
        kind: "dimension",
        title: "Tokens by the table's dimension",
        note: "Input and output together",
        measure: "tokens",
        by: null,
      },
      {
        kind: "measures",
        title: "Cached and reasoning",
        note: "Parts of input and of output",
        measures: ["cache_read_tokens", "reasoning_tokens"],
      },
      {
        kind: "measures",
        title: "How usage is known",
        note: "Requests whose tokens were estimated, or are unknown",
        measures: ["usage_estimated", "usage_unknown"],
      },
    ],
    table: ["tokens", "requests", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens"],
    by: "model",
  },
];

export const DIMENSIONS: readonly { value: string; label: string }[] = [
  { value: "model", label: "Model" },
  { value: "provider", label: "Provider" },
  { value: "virtual_key", label: "Virtual key" },
  { value: "api_key", label: "API key" },
  { value: "config", label: "Config" },
  { value: "gateway", label: "Gateway" },
  { value: "node", label: "Node" },
  { value: "workspace", label: "Workspace" },
  { value: "user", label: "End user" },
  { value: "door", label: "API" },
  { value: "way", label: "How the target was named" },
  { value: "target", label: "Target in the config" },
  { value: "status", label: "Status" },
  { value: "status_class", label: "Status class" },
  { value: "error", label: "Error" },
  { value: "ending", label: "Ending" },
  { value: "usage", label: "Source of usage" },
  { value: "stream", label: "Stream" },
];

/** The field a value of a dimension is filtered by. */
export function fieldOf(dimension: string): string {
  return dimension === "status_class" ? "status" : dimension;
}
