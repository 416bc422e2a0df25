/** What was changed, as a row of the audit tells it. */

import { did, spoken } from "@/lib/format";

interface Told {
  action: string;
  kind: string;
  before: unknown;
  after: unknown;
}

/** What was done to the one who did it, or says its object itself. */
const WHOLE: Record<string, string> = {
  "account.update": "changed their password",
  "first_run.create": "made the first owner",
  "gateways.enrol enrolment_token": "made an enrolment token",
  "gateways.token_used_again": "tried an enrolment token that was used",
  "invitations.accept": "accepted an invitation",
  "session.create": "logged in",
  "session.delete": "logged out",
  "session.update": "went on in this organisation",
};

/** What somebody did, after their name: made API key “laptop”. */
export function deed(entry: Told): string {
  const whole = WHOLE[entry.action] ?? WHOLE[`${entry.action} ${entry.kind}`];
  return whole ?? `${did(entry.action)} ${told(entry)}`;
}

/** The kind and, as far as it is told, the name: API key “laptop”. */
export function told({ kind, before, after }: Omit<Told, "action">): string {
  const content = (after ?? before ?? {}) as Record<string, unknown>;
  const name = content.slug ?? content.name ?? content.email ?? content.model ?? content.provider;
  return typeof name === "string" ? `${spoken(kind)} “${name}”` : spoken(kind);
}
