import { expect, test } from "vitest";
import { renamedOf, renamedTexts } from "@/pages/virtual_keys/quirks";

test("what is renamed is written as it is read", () => {
  const renamed = { max_tokens: "n_predict", seed: "random_seed" };
  expect(renamedOf(renamedTexts(renamed))).toEqual(renamed);
  expect(renamedOf([" seed = random_seed "])).toEqual({ seed: "random_seed" });
});

test("a name without another is left to the API to refuse", () => {
  expect(renamedOf(["seed"])).toEqual({ seed: "" });
});
