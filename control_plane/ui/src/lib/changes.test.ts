import { describe, expect, it } from "vitest";
import { changes, differing, valueAt } from "@/lib/changes";

describe("changes", () => {
  it("are the fields that are other than in the beginning", () => {
    const first = { name: "a", models: ["x"], url: null };
    expect(changes(first, { name: "a", models: ["x"], url: null })).toEqual({});
    expect(changes(first, { name: "b", models: ["x", "y"], url: null })).toEqual({ name: "b", models: ["x", "y"] });
  });

  it("of others are told by path", () => {
    const one = { name: "a", settings: { mode: "x", aliases: { fast: { model: "m" } } }, gone: 1 };
    const other = { name: "b", settings: { mode: "x", aliases: { fast: { model: "n" }, new: {} } } };
    expect(differing(one, other)).toEqual(["name", "settings.aliases.fast.model", "settings.aliases.new", "gone"]);
    expect(valueAt(one, "settings.aliases.fast.model")).toBe("m");
    expect(valueAt(one, "settings.nothing.there")).toBeUndefined();
  });
});
