/** Configs to begin with, and a config said in a line. */

export interface Recipe {
  name: string;
  slug: string;
  /** With the workspace's virtual keys, as far as there are enough. */
  body: (virtualKeys: string[]) => Record<string, unknown>;
}

const MISSING = "your-virtual-key";

export const RECIPES: readonly Recipe[] = [
  { name: "One target", slug: "one", body: ([first = MISSING]) => ({ virtual_key: first }) },
  {
    name: "Fallback",
    slug: "fallback",
    body: ([first = MISSING, second = first]) => ({
      strategy: { mode: "fallback", on_status_codes: [429, 500, 502, 503, 504] },
      targets: [{ virtual_key: first }, { virtual_key: second }],
    }),
  },
  {
    name: "Fixed parameters",
    slug: "steady",
    body: ([first = MISSING]) => ({ virtual_key: first, override_params: { temperature: 0 } }),
  },
];

/** “openai, else anthropic”. */
export function summary(body: unknown): string {
  if (typeof body !== "object" || body === null) return "nothing";
  const config = body as Record<string, unknown>;
  const targets = Array.isArray(config.targets) ? config.targets : [];
  if (targets.length > 0) {
    const strategy = config.strategy as { mode?: string } | undefined;
    const joint = strategy?.mode === "fallback" ? ", else " : ", ";
    return targets.map((target) => nested(target)).join(joint);
  }
  const model = (config.override_params as { model?: unknown } | undefined)?.model;
  const where = config.virtual_key ?? config.provider;
  if (typeof where === "string") return typeof model === "string" ? `${where} (${model})` : where;
  return typeof model === "string" ? model : "whatever the call names";
}

function nested(target: unknown): string {
  const inner = summary(target);
  return inner.includes(", ") ? `(${inner})` : inner;
}
