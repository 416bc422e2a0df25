/** What is asked of records and analytics: the question stands in the address, and so is the same on every page. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { type Search, useAddress } from "@/app/search";
import { useWorkspace } from "@/app/workspace";
import type { FilterField } from "@/lib/filter";
import { parseRange, RANGE_DEFAULT } from "@/lib/time";

export type Answer = Schemas["AnalyticsAnswer"];
export type Measured = Schemas["Measured"];
export type KeyMeasured = Schemas["KeyMeasured"];

const REFRESH_MS = 10_000;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Range, filter and workspace of the address, as the API takes them. */
export function useScope(): { query: Record<string, string>; relative: boolean; ready: boolean } {
  const [search] = useAddress();
  const { workspace } = useWorkspace();
  return useMemo(() => ({ ...scopeOf(search, workspace?.slug), ready: workspace !== undefined }), [search, workspace]);
}

function scopeOf(search: Search, workspace: string | undefined): { query: Record<string, string>; relative: boolean } {
  const range = parseRange(search.range, Date.now());
  const time: Record<string, string> = range.relative
    ? { last: /^\d+[mhd]$/.test(search.range ?? "") ? (search.range ?? RANGE_DEFAULT) : RANGE_DEFAULT }
    : { from: new Date(range.fromMs).toISOString(), to: new Date(range.toMs).toISOString() };
  return {
    query: {
      ...time,
      time_zone: ZONE,
      ...(search.filter ? { filter: search.filter } : {}),
      ...(workspace ? { workspace } : {}),
    },
    relative: range.relative,
  };
}

export interface Asked {
  measures: readonly string[];
  by?: string;
  step?: boolean;
  sort?: string;
  limit?: number;
  compare?: boolean;
  enabled?: boolean;
  /** A span that ends now, whatever range and filter the address has. */
  last?: string | undefined;
}

/** Measures by a dimension, or of everything; read anew while the range ends now. */
export function useMeasures({ measures, by, step, sort, limit, compare, enabled = true, last }: Asked) {
  const scope = useScope();
  const { workspace } = scope.query;
  const { ready } = scope;
  const relative = last !== undefined || scope.relative;
  const query = last === undefined ? scope.query : { last, time_zone: ZONE, ...(workspace ? { workspace } : {}) };
  const asked = {
    ...query,
    measures: measures.join(","),
    ...(by ? { by } : {}),
    ...(step ? { step: "auto" } : {}),
    ...(sort ? { sort } : {}),
    ...(limit ? { limit: String(limit) } : {}),
    ...(compare ? { compare: "previous" } : {}),
  };
  return useQuery({
    queryKey: ["analytics", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/analytics/query", { params: { query: asked }, signal })),
    enabled: enabled && ready,
    placeholderData: keepPreviousData,
    refetchInterval: relative ? REFRESH_MS : false,
  });
}

/** A value as a number; null is unknown. Money comes as a decimal text. */
export function numeric(value: string | number | null | undefined): number | null {
  if (value === null || value === undefined) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Fields of the filter, with values of the one that is being written. */
export function useFilterFields(): { fields: FilterField[]; onField: (name: string) => void } {
  const { workspace } = useWorkspace();
  const [writing, setWriting] = useState("");
  const known = useQuery({
    queryKey: ["filter-fields"],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => answer(api.GET("/api/v1/filter-fields")),
  });
  const fields = known.data?.fields ?? [];
  const suggests = fields.some((field) => field.name === writing && field.suggests) || writing.startsWith("meta.");
  const values = useQuery({
    queryKey: ["filter-values", writing, workspace?.slug],
    enabled: suggests,
    staleTime: 30_000,
    queryFn: () =>
      answer(
        api.GET("/api/v1/filter-values", {
          params: { query: { field: writing, ...(workspace ? { workspace: workspace.slug } : {}) } },
        }),
      ),
  });
  const onField = useCallback((name: string) => setWriting(name), []);
  const told = values.data?.data.map((one) => one.name ?? one.value) ?? [];
  const offered = fields.map((field) => ({
    name: field.name.replace("<key>", ""),
    description: field.description,
    operators: field.name.includes("<key>") ? [""] : [...field.operators],
    values: [...new Set([...(field.name === writing ? told : []), ...field.values])],
  }));
  // No list has the keys of the metadata: that of the one being written stands beside the fields.
  const key = writing.startsWith("meta.") ? [{ name: writing, values: told }] : [];
  return { fields: [...offered, ...key], onField };
}
