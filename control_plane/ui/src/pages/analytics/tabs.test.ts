import { describe, expect, it } from "vitest";
import { leftOut, SAID, TABS, withLeftOut } from "@/pages/analytics/tabs";

describe("what is left out of a sum", () => {
  it("is asked for beside it, once", () => {
    expect(withLeftOut(["requests", "cost_usd", "tokens"])).toEqual([
      "requests",
      "cost_usd",
      "tokens",
      "cost_unknown",
      "usage_unknown",
    ]);
    expect(withLeftOut(["cost_usd", "cost_unknown"])).toEqual(["cost_usd", "cost_unknown"]);
  });

  it("is said where the measures do not say it themselves", () => {
    expect(leftOut("cost_usd", ["cost_usd"])?.measure).toBe("cost_unknown");
    expect(leftOut("cost_usd", ["cost_usd", "cost_unknown"])).toBeUndefined();
    expect(leftOut("requests", ["requests"])).toBeUndefined();
  });
});

describe("the tabs", () => {
  it("know every measure that they show", () => {
    for (const tab of TABS) {
      const charts = tab.charts.flatMap((chart) => (chart.kind === "measures" ? chart.measures : [chart.measure]));
      for (const measure of withLeftOut([...tab.stats, ...tab.table, ...charts])) expect(SAID).toHaveProperty(measure);
    }
  });

  it("show a cost in all its parts, or they would not add up to it", () => {
    const made = TABS.flatMap((tab) => tab.charts).find((chart) => chart.title === "What it is made of");
    expect(made?.kind === "measures" && [...made.measures].sort()).toEqual([
      "cost_audio_usd",
      "cost_cache_read_usd",
      "cost_cache_write_usd",
      "cost_input_usd",
      "cost_output_usd",
      "cost_reasoning_usd",
    ]);
  });
});
