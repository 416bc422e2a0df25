import type { Schemas } from "@/api/client";

type Provider = Schemas["ProviderView"];

export interface Quirks {
  stream_usage: boolean;
  developer_role: boolean;
  cache_hints: boolean;
  limit_name: NonNullable<Schemas["ProviderCreate"]["limit_name"]>;
  refused: string[];
  ignored: string[];
  ignored_in_messages: string[];
}

export const LIMIT_NAMES = ["max_tokens", "max_completion_tokens"];

/** Lists of parameters, with what becomes of those in them. */
export const PARAMETERS = [
  {
    name: "refused",
    label: "Would drop in silence",
    description: "Parameters that change answers: a call that gives one is refused",
  },
  {
    name: "ignored",
    label: "Has no use for",
    description: "Parameters that change no answer here: they stay out, and the caller is told",
  },
  {
    name: "ignored_in_messages",
    label: "Has no use for in messages",
    description: "The same for fields of a chat's messages, such as another host's reasoning_content",
  },
] as const;

export const QUIRK_NAMES = ["limit_name", "renamed", ...PARAMETERS.map((one) => one.name)];

export function quirksOf(provider: Provider | null): Quirks {
  return {
    stream_usage: provider?.stream_usage ?? true,
    developer_role: provider?.developer_role ?? true,
    cache_hints: provider?.cache_hints ?? false,
    limit_name: (provider?.limit_name ?? "max_tokens") as Quirks["limit_name"],
    refused: [...(provider?.refused ?? [])],
    ignored: [...(provider?.ignored ?? [])],
    ignored_in_messages: [...(provider?.ignored_in_messages ?? [])],
  };
}

export function renamedTexts(renamed: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(renamed ?? {}).map(([ours, theirs]) => `${ours}=${theirs}`);
}

/** What has no `=` names nothing of the host's, and the API says so. */
export function renamedOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [ours = "", ...theirs] = text.split("=");
      return [ours.trim(), theirs.join("=").trim()];
    }),
  );
}

/** Where it differs from the usual host; nothing of one that does not. */
export function quirkFacts(provider: Provider): [name: string, value: string][] {
  const facts: [string, string][] = [];
  if (!(provider.developer_role ?? true)) facts.push(["A developer's messages", "go out as the system's"]);
  if (provider.cache_hints) facts.push(["Takes cache_control", "yes"]);
  if (provider.limit_name && provider.limit_name !== "max_tokens")
    facts.push(["Limit of an answer", provider.limit_name]);
  const renamed = renamedTexts(provider.renamed);
  if (renamed.length > 0) facts.push(["Calls otherwise", renamed.join(", ")]);
  for (const { name, label } of PARAMETERS) {
    const names = provider[name] ?? [];
    if (names.length > 0) facts.push([label, names.join(", ")]);
  }
  return facts;
}
