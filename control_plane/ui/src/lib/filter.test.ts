import { describe, expect, it } from "vitest";
import {
  completions,
  metadataField,
  onlyFields,
  quote,
  unquote,
  without,
  withUnknown,
  withWord,
  words,
} from "@/lib/filter";

describe("words", () => {
  it("finds fields, operators and values, and what is negated", () => {
    expect(words('model:gpt-4o status>=400 -key:ci "refund window" has:feedback')).toMatchObject([
      { field: "model", operator: ":", value: "gpt-4o", negated: false },
      { field: "status", operator: ">=", value: "400" },
      { field: "key", operator: ":", value: "ci", negated: true },
      { field: "", operator: "", value: "refund window" },
      { field: "has", operator: ":", value: "feedback" },
    ]);
  });

  it("knows any key of the metadata as a field", () => {
    expect(words('meta.my-key:a -meta."a: \\"b":c meta.ü=d')).toMatchObject([
      { field: "meta.my-key", operator: ":", value: "a" },
      { field: 'meta."a: \\"b"', operator: ":", value: "c", negated: true },
      { field: "meta.ü", operator: "=", value: "d" },
    ]);
  });

  it("covers the text: every character that is no space is in exactly one word", () => {
    for (const text of ["", "  ", 'a:"b c', 'x:"\\" y" z', "a  b\tc", '"', "meta.team=search -", "-:"]) {
      const covered = words(text).map((word) => text.slice(word.start, word.end));
      expect(words(text).map((word) => word.text)).toEqual(covered);
      let at = 0;
      for (const word of words(text)) {
        expect(text.slice(at, word.start).trim()).toBe("");
        at = word.end;
      }
      expect(text.slice(at).trim()).toBe("");
    }
  });

  it("reads back any value it quoted", () => {
    for (const value of ["plain", "two words", 'a "quoted" one', "back\\slash", "", "ü:=<>", '"']) {
      expect(unquote(quote(value))).toBe(value);
      expect(words(withWord("", "model", value))).toMatchObject([{ field: "model", value }]);
    }
  });
});

describe("changes of a filter", () => {
  it("takes a value whole, whatever it holds", () => {
    expect(withWord("", "model", "gpt-4,vision")).toBe('model:"gpt-4,vision"');
    expect(withWord("", "model", "ft*")).toBe('model:"ft*"');
  });

  it("asks of metadata for the whole value: a colon would find it in a part of another", () => {
    expect(withWord("", metadataField("team"), "search")).toBe("meta.team=search");
    expect(withWord("", metadataField('my "key"'), "a,b")).toBe('meta."my \\"key\\""="a,b"');
  });

  it("asks once for what is not known", () => {
    expect(withUnknown("status>=400", "model")).toBe("status>=400 -model:*");
    expect(withUnknown("-model:*", "model")).toBe("-model:*");
  });

  it("leaves what stands in quotes as it is when another word goes", () => {
    const text = 'model:x name="two  blanks"';
    const [first] = words(text);
    expect(first && without(text, first)).toBe('name="two  blanks"');
  });

  it("adds a word once", () => {
    const once = withWord("status>=400", "model", "gpt-4o");
    expect(once).toBe("status>=400 model:gpt-4o");
    expect(withWord(once, "model", "gpt-4o")).toBe(once);
  });

  it("takes a word away and leaves the others", () => {
    const text = "a:1 b:2 c:3";
    const [, second] = words(text);
    expect(second && without(text, second)).toBe("a:1 c:3");
  });

  it("makes of a bare word a part of the first field", () => {
    expect(onlyFields('smith -"two words" role:admin', "name")).toBe('name:smith -name:"two words" role:admin');
  });
});

describe("completions", () => {
  const fields = [
    { name: "model", values: ["gpt-4o", "gpt-4o mini"] },
    { name: "status", operators: [">="] },
  ];

  it("offers fields, then their values, in the place of the caret", () => {
    expect(completions("mo", 2, fields).map((offered) => offered.text)).toEqual(["model:"]);
    expect(completions("sta", 3, fields).map((offered) => offered.text)).toEqual(["status>="]);
    expect(completions("model:4o x", 8, fields).map((offered) => offered.text)).toEqual([
      "model:gpt-4o  x",
      'model:"gpt-4o mini"  x',
    ]);
  });

  it("keeps a minus", () => {
    expect(completions("-mo", 3, fields)[0]?.text).toBe("-model:");
  });

  it("offers everything where nothing is written", () => {
    expect(completions("", 0, fields).map((offered) => offered.label)).toEqual(["model", "status"]);
  });
});
