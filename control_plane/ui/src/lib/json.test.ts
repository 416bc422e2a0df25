import { describe, expect, it } from "vitest";
import { parsePointer, propertiesAt, type Schema, valuesAt } from "@/lib/json";

const SCHEMA: Schema = {
  $ref: "#/$defs/Node",
  $defs: {
    Node: {
      type: "object",
      properties: {
        mode: { anyOf: [{ enum: ["single", "fallback"] }, { type: "null" }] },
        targets: { anyOf: [{ type: "array", items: { $ref: "#/$defs/Node" } }, { type: "null" }] },
        strict: { type: "boolean" },
      },
    },
  },
};

describe("pointers", () => {
  it("name keys and places, also keys with slashes", () => {
    expect(parsePointer("")).toEqual([]);
    expect(parsePointer("/targets/0/virtual_key")).toEqual(["targets", 0, "virtual_key"]);
    expect(parsePointer("/a~1b/c~0d")).toEqual(["a/b", "c~d"]);
  });
});

describe("a schema", () => {
  it("says what may stand in an object, however deep, and leaves out what stands there", () => {
    const names = (path: (string | number)[], there: string[]) =>
      propertiesAt(SCHEMA, path, there).map((one) => one.label);
    expect(names([], [])).toEqual(["mode", "targets", "strict"]);
    expect(names(["targets", 0, "targets", 3], ["mode"])).toEqual(["targets", "strict"]);
    expect(names(["nowhere"], [])).toEqual([]);
  });

  it("lists values", () => {
    expect(valuesAt(SCHEMA, ["targets", 1, "mode"])).toEqual(['"single"', '"fallback"']);
    expect(valuesAt(SCHEMA, ["strict"])).toEqual(["true", "false"]);
  });

  it("that refers to itself without end is left alone", () => {
    const endless: Schema = { $ref: "#/$defs/A", $defs: { A: { $ref: "#/$defs/A" } } };
    expect(propertiesAt(endless, [], [])).toEqual([]);
  });
});
