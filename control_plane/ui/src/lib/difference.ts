/** What differs between two JSON documents, line by line. */

import { written } from "@/lib/json";

export interface Line {
  sign: " " | "+" | "-";
  text: string;
}

const LINES_MAX = 1_500;

function lines(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  return written(value).split("\n");
}

/** The longest common lines stay; what is gone comes before what is new. Very long documents are told whole. */
export function difference(before: unknown, after: unknown): Line[] {
  const old = lines(before);
  const fresh = lines(after);
  if (old.length * fresh.length > LINES_MAX * LINES_MAX) {
    return [...old.map((text) => ({ sign: "-", text }) as Line), ...fresh.map((text) => ({ sign: "+", text }) as Line)];
  }
  const width = fresh.length + 1;
  const common = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = fresh.length - 1; j >= 0; j--) {
      const same = old[i] === fresh[j];
      common[i * width + j] = same
        ? (common[(i + 1) * width + j + 1] ?? 0) + 1
        : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  const told: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < fresh.length) {
    const [gone, come] = [old[i], fresh[j]];
    if (gone !== undefined && gone === come) {
      told.push({ sign: " ", text: gone });
      i++;
      j++;
    } else if (
      gone !== undefined &&
      (come === undefined || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      told.push({ sign: "-", text: gone });
      i++;
    } else if (come !== undefined) {
      told.push({ sign: "+", text: come });
      j++;
    }
  }
  return told;
}
