import { describe, expect, it } from "vitest";
import { fieldOf, spokenPlace, toldAt } from "@/lib/faults";

const fault = (pointer: string) => ({ pointer, message: "a name is wanted here" });

describe("faults", () => {
  it("belong to the field they name, or to the nearest around them", () => {
    const fields = { "/name": "", "/models": [], "/credential": {}, "/credential/region": "" };
    expect(fieldOf(fault("/name"), fields)).toBe("/name");
    expect(fieldOf(fault("/names"), fields)).toBeUndefined();
    expect(fieldOf(fault("/models/3"), fields)).toBe("/models");
    expect(fieldOf(fault("/credential/region"), fields)).toBe("/credential/region");
    expect(fieldOf(fault("/credential/key"), fields)).toBe("/credential");
    expect(fieldOf(fault(""), fields)).toBeUndefined();
  });

  it("say which of several values they mean", () => {
    expect(toldAt(fault("/models/1"), "/models", ["a", "Top P"])).toBe("“Top P”: a name is wanted here");
    expect(toldAt(fault("/renamed/a~1b"), "/renamed", { "a/b": "c" })).toBe("“a/b”: a name is wanted here");
    expect(toldAt(fault("/name"), "/name", "")).toBe("A name is wanted here");
  });

  it("have a place that can be read", () => {
    expect(spokenPlace("/targets/1/virtual_key")).toBe("targets[1].virtual_key");
    expect(spokenPlace("/settings/model_aliases/a~1b")).toBe("settings.model_aliases.a/b");
    expect(spokenPlace("")).toBe("");
  });
});
