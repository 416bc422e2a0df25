import { expect, test } from "vitest";
import { deed } from "@/lib/told";

const entry = { before: null, after: null };

test.each([
  ["api_keys.create", "api_key", { name: "laptop" }, "made API key “laptop”"],
  ["session.create", "account", null, "logged in"],
  ["gateways.enrol", "enrolment_token", { gateway: "gw_1" }, "made an enrolment token"],
  ["gateways.enrol", "node", { gateway: "gw_1" }, "enrolled node"],
  ["invitations.accept", "member", { email: "ada@example.com" }, "accepted an invitation"],
])("%s of %s is told as somebody would", (action, kind, after, words) => {
  expect(deed({ ...entry, action, kind, after })).toBe(words);
});
