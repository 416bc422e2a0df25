/** The address is the state: everything a screen shows can be had again from its address. All values are texts. */

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

export interface Search {
  /** Slug of the workspace. */
  workspace?: string;
  /** Time range, as `lib/time.ts` reads it. */
  range?: string;
  filter?: string;
  sort?: string;
  /** Columns shown, by comma, where they are not the usual ones. */
  columns?: string;
  /** Id of the row whose details are open. */
  open?: string;
  tab?: string;
  /** Dimension that things are broken down by. */
  by?: string;
  compare?: string;
  /** Where to go after logging in. */
  next?: string;
}

const NAMES = ["workspace", "range", "filter", "sort", "columns", "open", "tab", "by", "compare", "next"] as const;
/** What stays when one goes to another page. */
export const KEPT = ["workspace", "range"] as const;

export function validSearch(raw: Record<string, unknown>): Search {
  const search: Search = {};
  for (const name of NAMES) {
    const value = raw[name];
    if (typeof value === "string" && value !== "") search[name] = value;
  }
  return search;
}

export function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const pairs = Object.entries(search).filter(
    (pair): pair is [string, string] => typeof pair[1] === "string" && !!pair[1],
  );
  // Colons, commas and slashes may stand in a query as they are, and are easier to read.
  const text = new URLSearchParams(pairs).toString().replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/%2F/g, "/");
  return text && `?${text}`;
}

/** The address's state, and how to change it. Small steps replace the entry of the history, so that Back goes back. */
export function useAddress(): [Search, (change: Partial<Search>, push?: boolean) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = useCallback(
    (patch: Partial<Search>, push = false) => {
      void navigate({
        to: ".",
        search: (before: Search) => validSearch({ ...before, ...patch }),
        replace: !push,
      } as never);
    },
    [navigate],
  );
  return [search, change];
}
