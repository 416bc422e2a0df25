import { describe, expect, it } from "vitest";
import { difference } from "@/lib/difference";

import { written } from "@/lib/json";

describe("a difference", () => {
  it("keeps what is the same, and tells what went before what came", () => {
    expect(difference({ a: 1, b: 2 }, { a: 1, b: 3 }).map((line) => line.sign + line.text)).toEqual([
      " {",
      '   "a": 1,',
      '-  "b": 2',
      '+  "b": 3',
      " }",
    ]);
  });

  it("holds both documents whole", () => {
    const pairs = [
      [null, { a: 1 }],
      [{ a: 1 }, null],
      [{ a: [1, 2, 3] }, { a: [2, 3, 4], b: {} }],
      [{ x: { y: "z" } }, { x: { y: "z" } }],
    ];
    for (const [before, after] of pairs) {
      const lines = difference(before, after);
      const side = (sign: string) =>
        lines
          .filter((line) => line.sign !== sign)
          .map((line) => line.text)
          .join("\n");
      expect(side("+")).toBe(before === null ? "" : written(before));
      expect(side("-")).toBe(after === null ? "" : written(after));
    }
  });
});
