/** What the panel asks for in many places: the session, the workspaces, and any list page by page. */

import { keepPreviousData, QueryClient, type QueryKey, queryOptions, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { answer, api, rememberSession, type Schemas } from "@/api/client";
import { asProblem, Problem } from "@/api/problem";

const RETRIES_MAX = 2;
const PAGE_ROWS = "200";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (failures, error) => [0, 502, 503, 504].includes(asProblem(error).status) && failures < RETRIES_MAX,
    },
    mutations: { retry: false },
  },
});

/** Null for a stranger. */
export const sessionQuery = queryOptions({
  queryKey: ["session"],
  staleTime: 60_000,
  queryFn: async () => {
    try {
      const session = await answer(api.GET("/api/v1/session"));
      rememberSession(session);
      return session;
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return null;
      throw error;
    }
  },
});

/** Somebody came in, or went: whatever was read as somebody else is forgotten. */
export function enter(session: Schemas["SessionView"] | null): void {
  rememberSession(session);
  queryClient.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  queryClient.setQueryData(sessionQuery.queryKey, session);
}

export const workspacesQuery = queryOptions({
  queryKey: ["workspaces", "all"],
  staleTime: 30_000,
  queryFn: () =>
    everyRow((query) => answer(api.GET("/api/v1/workspaces", { params: { query: { ...query, sort: "name" } } }))),
});

export interface ListQuery {
  filter?: string;
  sort?: string;
  limit?: string;
  cursor?: string;
}

export interface Page<Row> {
  data: Row[];
  next_cursor: string | null;
}

/** A list as it is scrolled: rows so far, and how to get more. */
export function useRows<Row>(
  key: QueryKey,
  load: (query: ListQuery) => Promise<Page<Row>>,
  query: ListQuery,
  options: { refetchMs?: number; enabled?: boolean } = {},
) {
  const pages = useInfiniteQuery({
    queryKey: [...key, query],
    queryFn: ({ pageParam }) =>
      load({ limit: PAGE_ROWS, ...defined(query), ...(pageParam ? { cursor: pageParam } : {}) }),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    // Comparing thousands of rows with those before costs more than drawing the few that are seen.
    structuralSharing: false,
    refetchInterval: options.refetchMs,
    enabled: options.enabled ?? true,
  });
  const { data } = pages;
  const rows = useMemo(() => data?.pages.flatMap((page) => page.data) ?? [], [data]);
  return {
    rows,
    problem: pages.error ? asProblem(pages.error) : null,
    loading: pages.isPending,
    more: pages.hasNextPage ? () => void (pages.isFetchingNextPage || pages.fetchNextPage()) : null,
    updatedAtMs: pages.dataUpdatedAt,
    refetch: pages.refetch,
  };
}

const ROWS_MAX = 2_000;

/** Every row of a list that is short by nature: workspaces, virtual keys to choose from. */
export async function everyRow<Row>(load: (query: ListQuery) => Promise<Page<Row>>): Promise<Row[]> {
  const rows: Row[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Row> = await load({ limit: "200", ...(cursor ? { cursor } : {}) });
    rows.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && rows.length < ROWS_MAX);
  return rows;
}

function defined(query: ListQuery): ListQuery {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value));
}
