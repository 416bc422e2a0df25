/** How wide a table's columns are: as its user pulled them, and which of them there is room for (the sums are pure). */

import { useCallback, useState } from "react";

export const WIDTH_PX_MIN = 48;
export const WIDTH_PX_MAX = 1_200;
/** With fewer a list says too little: it is scrolled sideways then. */
const COLUMNS_MIN = 2;

export interface Sized {
  id: string;
  width: number;
  grow?: number;
}

export type Widths = Readonly<Record<string, number>>;

/** The columns from the left on for which there is room. */
export function fitting<Column extends Sized>(columns: Column[], widths: Widths, roomPx: number): Column[] {
  let usedPx = 0;
  const found = columns.findIndex((column, index) => {
    usedPx += widths[column.id] ?? column.width;
    return index >= COLUMNS_MIN && usedPx > roomPx;
  });
  return found < 0 ? columns : columns.slice(0, found);
}

/** What a grid wants: pulled columns keep their width, the others share what is left. */
export function template(columns: readonly Sized[], widths: Widths): string {
  return columns
    .map(({ id, width, grow }) => (widths[id] ? `${widths[id]}px` : `minmax(${width}px, ${grow ?? width}fr)`))
    .join(" ");
}

export function least(columns: readonly Sized[], widths: Widths): number {
  return columns.reduce((sum, { id, width }) => sum + (widths[id] ?? width), 0);
}

function bounded(px: number): number {
  return Math.round(Math.min(WIDTH_PX_MAX, Math.max(WIDTH_PX_MIN, px)));
}

function read(place: string): Widths {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(place) ?? "{}");
    const pairs = Object.entries(kept as object).filter((pair): pair is [string, number] => Number.isFinite(pair[1]));
    return Object.fromEntries(pairs.map(([id, px]) => [id, bounded(px)]));
  } catch {
    return {}; // Whatever else was written there says nothing about widths.
  }
}

/** Widths of one table, remembered in this browser; `null` gives every column its usual one back. */
export function useWidths(table: string): [Widths, (change: Widths | null) => void] {
  const place = `gatehouse.widths.${table}`;
  const [widths, setWidths] = useState(() => read(place));
  const change = useCallback(
    (more: Widths | null) =>
      setWidths((before) => {
        const after = more && {
          ...before,
          ...Object.fromEntries(Object.entries(more).map(([id, px]) => [id, bounded(px)])),
        };
        if (after) localStorage.setItem(place, JSON.stringify(after));
        else localStorage.removeItem(place);
        return after ?? {};
      }),
    [place],
  );
  return [widths, change];
}
