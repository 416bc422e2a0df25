import { expect, test } from "vitest";
import { fitting, least, template } from "@/components/columns";

const COLUMNS = [
  { id: "a", width: 100 },
  { id: "b", width: 100, grow: 300 },
  { id: "c", width: 100 },
  { id: "d", width: 100 },
];
const ids = (columns: { id: string }[]) => columns.map((column) => column.id).join("");

test("as many columns as there is room for", () => {
  expect(ids(fitting(COLUMNS, {}, 400))).toBe("abcd");
  expect(ids(fitting(COLUMNS, {}, 399))).toBe("abc");
  expect(ids(fitting(COLUMNS, {}, 299))).toBe("ab");
});

test("two stay, however narrow", () => {
  expect(ids(fitting(COLUMNS, {}, 0))).toBe("ab");
});

test("a pulled column takes what it was pulled to", () => {
  expect(ids(fitting(COLUMNS, { a: 250 }, 400))).toBe("ab");
  expect(least(COLUMNS, { a: 250 })).toBe(550);
  expect(template(COLUMNS.slice(0, 2), { a: 250 })).toBe("250px minmax(100px, 300fr)");
});
