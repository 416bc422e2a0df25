import { describe, expect, it } from "vitest";
import { bytes, change, count, did, duration, money, percent, short, spoken } from "@/lib/format";

describe("what is unknown", () => {
  it("is a dash and never a zero", () => {
    for (const format of [count, short, money, duration, bytes, percent]) {
      expect(format(null)).toBe("—");
      expect(format(undefined)).toBe("—");
    }
    expect(money(0)).toBe("$0");
    expect(change(5, 0)).toBe("—");
    expect(change(null, 5)).toBe("—");
  });
});

describe("money", () => {
  it("has two digits from a dollar on and as many as tell something below", () => {
    expect(money(1234.5)).toBe("$1,234.50");
    expect(money("0.0021")).toBe("$0.0021");
    expect(money(0.05)).toBe("$0.05");
    expect(money(0.000_001_5)).toBe("$0.0000015");
    expect(money(0.000_000_000_1)).toBe("<$0.0000001");
    expect(money(-2)).toBe("-$2.00");
    expect(money(2_500_000)).toBe("$2.5M");
    expect(money("no number")).toBe("—");
  });
});

describe("durations", () => {
  it("are in the unit in which they are easy to read", () => {
    expect(duration(0)).toBe("0 µs");
    expect(duration(850)).toBe("850 µs");
    expect(duration(12_345)).toBe("12.3 ms");
    expect(duration(1_240_000)).toBe("1.24 s");
    expect(duration(125_000_000)).toBe("2 min 5 s");
    expect(duration(119_600_000)).toBe("2 min 0 s");
    expect(duration(7_260_000_000)).toBe("2 h 1 min");
  });
});

describe("numbers", () => {
  it("are short where space is", () => {
    expect(short(999)).toBe("999");
    expect(short(1_234)).toBe("1.23k");
    expect(short(45_600_000)).toBe("45.6M");
    expect(count(1_234_567)).toBe("1,234,567");
    expect(bytes(1023)).toBe("1023 B");
    expect(bytes(1536)).toBe("1.5 KiB");
    expect(percent(0.0123)).toBe("1.23 %");
    expect(percent(0)).toBe("0 %");
    expect(percent(0.000_01)).toBe("<0.01 %");
  });

  it("say how they changed with a sign", () => {
    expect(change(110, 100)).toBe("+10 %");
    expect(change(90, 100)).toBe("−10 %");
    expect(change(100, 100)).toBe("±0 %");
  });
});

describe("actions of the audit", () => {
  it("are told as what somebody did", () => {
    expect(did("configs.update")).toBe("changed");
    expect(did("api_keys.delete")).toBe("revoked");
    expect(did("something.else")).toBe("something else");
    expect(spoken("api_key")).toBe("API key");
  });
});
