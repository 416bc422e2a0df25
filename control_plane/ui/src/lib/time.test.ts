import { describe, expect, it } from "vitest";
import { ago, axisTime, frozen, parseRange, previous, RANGES, span } from "@/lib/time";

const NOW = Date.parse("2026-11-28T12:00:00Z");

describe("ranges", () => {
  it("move with the clock while they are relative", () => {
    expect(parseRange("6h", NOW)).toEqual({ fromMs: NOW - 6 * 3_600_000, toMs: NOW, relative: true });
    expect(parseRange("6h", NOW + 1000).toMs).toBe(NOW + 1000);
  });

  it("stand still once frozen, and come back from the address as they were", () => {
    for (const { value } of RANGES) {
      const range = parseRange(value, NOW);
      expect(parseRange(frozen(range), NOW + 99_999)).toEqual({ ...range, relative: false });
    }
  });

  it("fall back to a day where nothing can be read", () => {
    for (const text of [undefined, "", "0h", "x", "5y", "2026-11-02T00:00:00Z/2026-11-01T00:00:00Z", "a/b"]) {
      expect(parseRange(text, NOW)).toEqual({ fromMs: NOW - 86_400_000, toMs: NOW, relative: true });
    }
  });

  it("have a previous one that ends where they begin and is as long", () => {
    const range = parseRange("7d", NOW);
    const before = previous(range);
    expect(before.toMs).toBe(range.fromMs);
    expect(before.toMs - before.fromMs).toBe(range.toMs - range.fromMs);
  });
});

describe("how long ago", () => {
  it("is said in one unit", () => {
    expect(ago(NOW - 500, NOW)).toBe("now");
    expect(ago(NOW - 12_000, NOW)).toBe("12 s ago");
    expect(ago(NOW + 3 * 86_400_000, NOW)).toBe("in 3 d");
    expect(ago(null, NOW)).toBe("never");
    expect(span(90 * 86_400_000)).toBe("3 months");
  });
});

describe("under a chart", () => {
  it("stands what tells its moments apart", () => {
    const at = new Date(2026, 8, 1, 14, 3).getTime();
    const day = 86_400_000;
    expect(axisTime(at, day)).toBe("14:03");
    expect(axisTime(at, 30 * day)).toMatch(/^1 Sep/);
    expect(axisTime(at, 700 * day)).toMatch(/^Sept? 2026$/);
  });
});
