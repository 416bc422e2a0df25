/** What was changed, as a row of the audit tells it. */

import { spoken } from "@/lib/format";

interface Told {
  kind: string;
  before: unknown;
  after: unknown;
}

/** The kind and, as far as it is told, the name: API key “laptop”. */
export function told({ kind, before, after }: Told): string {
  const content = (after ?? before ?? {}) as Record<string, unknown>;
  const name = content.slug ?? content.name ?? content.email ?? content.model ?? content.provider;
  return typeof name === "string" ? `${spoken(kind)} “${name}”` : spoken(kind);
}
