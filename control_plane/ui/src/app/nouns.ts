/** How each noun's list is read, in one place. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import { everyRow, type ListQuery } from "@/app/queries";
import { useRights } from "@/app/workspace";

const inWorkspace = (workspace: string, query: ListQuery) => ({ params: { path: { workspace }, query } });

export const lists = {
  apiKeys: (workspace: string) => (query: ListQuery) =>
    answer(api.GET("/api/v1/workspaces/{workspace}/api-keys", inWorkspace(workspace, query))),
  virtualKeys: (workspace: string) => (query: ListQuery) =>
    answer(api.GET("/api/v1/workspaces/{workspace}/virtual-keys", inWorkspace(workspace, query))),
  configs: (workspace: string) => (query: ListQuery) =>
    answer(api.GET("/api/v1/workspaces/{workspace}/configs", inWorkspace(workspace, query))),
  workspaceMembers: (workspace: string) => (query: ListQuery) =>
    answer(api.GET("/api/v1/workspaces/{workspace}/members", inWorkspace(workspace, query))),
  workspaces: (query: ListQuery) => answer(api.GET("/api/v1/workspaces", { params: { query } })),
  providers: (query: ListQuery) => answer(api.GET("/api/v1/providers", { params: { query } })),
  models: (query: ListQuery) => answer(api.GET("/api/v1/models", { params: { query } })),
  prices: (query: ListQuery) => answer(api.GET("/api/v1/prices", { params: { query } })),
  gateways: (query: ListQuery) => answer(api.GET("/api/v1/gateways", { params: { query } })),
  nodes: (gateway: string) => (query: ListQuery) =>
    answer(api.GET("/api/v1/gateways/{gateway}/nodes", { params: { path: { gateway }, query } })),
  tokens: (gateway: string) => (query: ListQuery) =>
    answer(api.GET("/api/v1/gateways/{gateway}/enrolment-tokens", { params: { path: { gateway }, query } })),
  members: (query: ListQuery) => answer(api.GET("/api/v1/members", { params: { query } })),
  invitations: (query: ListQuery) => answer(api.GET("/api/v1/invitations", { params: { query } })),
  adminKeys: (query: ListQuery) => answer(api.GET("/api/v1/admin-keys", { params: { query } })),
  audit: (query: ListQuery) => answer(api.GET("/api/v1/audit-logs", { params: { query } })),
};

const CHOICES_STALE_MS = 15_000;

/** All rows to choose from; empty until they are there. */
export function useChoices<Row>(
  key: readonly string[],
  load: (query: ListQuery) => Promise<{ data: Row[]; next_cursor: string | null }>,
  enabled = true,
): Row[] {
  return (
    useQuery({ queryKey: [...key, "choices"], queryFn: () => everyRow(load), enabled, staleTime: CHOICES_STALE_MS })
      .data ?? []
  );
}

/** After a change: every list and object of these nouns is read anew. */
export function useChanged(): (...nouns: string[]) => Promise<void> {
  const queries = useQueryClient();
  return async (...nouns) => {
    await Promise.all([...nouns, "audit"].map((noun) => queries.invalidateQueries({ queryKey: [noun] })));
  };
}

interface Example {
  /** As every call may name it: `@slug/model`. */
  named: string;
  /** For calls that a config sends on. */
  model: string;
}

/** A model that calls of this workspace reach, for examples; in words as long as there is none. */
export function useExample(workspace: string | undefined): Example {
  const keys = useChoices(
    ["virtual-keys", workspace ?? ""],
    lists.virtualKeys(workspace ?? ""),
    workspace !== undefined,
  );
  const key = keys.find((one) => one.models) ?? keys[0];
  const model = useModelOf(key);
  return { named: `@${key?.slug ?? "virtual-key"}/${model}`, model };
}

/** A model that this virtual key lists, else one that the catalogue has of its provider. */
export function useModelOf(key: { provider: string; models: readonly string[] | null } | undefined): string {
  const catalogued = useQuery({
    queryKey: ["models", "example", key?.provider],
    enabled: key !== undefined && !key.models,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => lists.models({ filter: `provider=${JSON.stringify(key?.provider)} type:chat`, limit: "1" }),
  });
  return key?.models?.[0] ?? catalogued.data?.data[0]?.name ?? "model";
}

/** Where callers reach the gateway: as its row says, else its usual port on this host. */
export function useGatewayUrl(): string {
  const { admin } = useRights();
  const gateways = useChoices(["gateways"], lists.gateways, admin);
  const told = gateways.map((gateway) => gateway.url).find((url) => url);
  return told ?? `${location.protocol}//${location.hostname}:8787`;
}
