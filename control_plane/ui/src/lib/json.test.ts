import { describe, expect, it } from "vitest";
import { parsePointer, propertiesAt, type Schema, valuesAt, written } from "@/lib/json";

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

describe("written", () => {
  it("puts the strategy first and the targets last, at every depth", () => {
    const inner = { targets: [{ virtual_key: "a" }], retry: { attempts: 2 }, strategy: { mode: "fallback" } };
    expect(Object.keys(JSON.parse(written({ targets: [inner], strategy: { mode: "single" } })))).toEqual([
      "strategy",
      "targets",
    ]);
    expect(Object.keys(JSON.parse(written({ targets: [inner] })).targets[0])).toEqual(["strategy", "retry", "targets"]);
  });

  it("keeps rows of numbers on one line, and changes nothing else", () => {
    const value = { on_status_codes: [429, 500.5, -1], texts: ["[\n 1 ]", "2"], none: [], deep: [[1], [2]] };
    expect(written(value)).toContain('"on_status_codes": [429, 500.5, -1]');
    expect(JSON.parse(written(value))).toEqual(value);
  });
});
