import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { useFeed } from "@/app/feed";
import { useExample, useGatewayUrl } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useFilterFields, useScope } from "@/app/records";
import { useAddress } from "@/app/search";
import { useWorkspace, type Workspace } from "@/app/workspace";
import { CodeTabs, callSnippets } from "@/components/CodeTabs";
import { type Column, DataTable } from "@/components/DataTable";
import { EmptyState } from "@/components/EmptyState";
import { FilterBar } from "@/components/FilterBar";
import { LiveBadge } from "@/components/LiveBadge";
import { Page } from "@/components/Page";
import { WithPeek } from "@/components/PeekPanel";
import { ProblemNote } from "@/components/ProblemNote";
import { bytes, count, duration, money } from "@/lib/format";
import { clock, dateTime, exact } from "@/lib/time";
import { Attempts, Status } from "@/pages/requests/marks";
import { Peek } from "@/pages/requests/Peek";

export type RecordRow = Schemas["RecordView"];

const FRESH_MAX = 500;

const named = (record: RecordRow, field: "api_key" | "virtual_key" | "config" | "gateway" | "workspace") => {
  const id = record[field];
  if (!id) return <span className="dim">—</span>;
  return <span className="clip">{record.names[field] ?? id}</span>;
};

const COLUMNS: Column<RecordRow>[] = [
  {
    id: "started_at",
    header: "Time",
    sort: "started_at",
    width: 118,
    cell: (record) => (
      <time className="numbers" dateTime={record.started_at} title={exact(record.started_at)}>
        {Date.now() - Date.parse(record.started_at) < 86_400_000
          ? clock(record.started_at)
          : dateTime(record.started_at)}
      </time>
    ),
  },
  { id: "status", header: "Status", width: 82, cell: (record) => <Status record={record} /> },
  {
    id: "model",
    header: "Model",
    width: 150,
    grow: 220,
    cell: (record) => <span className="mono clip">{record.model ?? "—"}</span>,
  },
  {
    id: "provider",
    header: "Provider",
    width: 100,
    cell: (record) => <span className="clip">{record.provider ?? "—"}</span>,
  },
  {
    id: "attempts",
    header: "Attempts",
    width: 86,
    note: "Each call to a provider: filled, it answered well",
    cell: (record) => <Attempts record={record} />,
  },
  {
    id: "duration",
    header: "Took",
    sort: "duration",
    numeric: true,
    width: 82,
    cell: (record) => duration(record.duration_us),
  },
  {
    id: "first_byte",
    header: "First byte",
    sort: "first_byte",
    numeric: true,
    width: 92,
    optional: true,
    cell: (record) => duration(record.first_byte_us),
  },
  {
    id: "overhead",
    header: "Overhead",
    sort: "overhead",
    numeric: true,
    width: 90,
    optional: true,
    note: "The gateway's own share",
    cell: (record) => duration(record.overhead_us),
  },
  {
    id: "tokens",
    header: "Tokens",
    sort: "tokens",
    numeric: true,
    width: 104,
    note: "In and out",
    cell: (record) =>
      record.input_tokens === null && record.output_tokens === null
        ? "—"
        : `${count(record.input_tokens)} → ${count(record.output_tokens)}`,
  },
  { id: "cost", header: "Cost", sort: "cost", numeric: true, width: 90, cell: (record) => money(record.cost_usd) },
  { id: "api_key", header: "API key", width: 110, grow: 130, cell: (record) => named(record, "api_key") },
  { id: "config", header: "Config", width: 100, optional: true, cell: (record) => named(record, "config") },
  {
    id: "virtual_key",
    header: "Virtual key",
    width: 110,
    optional: true,
    cell: (record) => named(record, "virtual_key"),
  },
  { id: "gateway", header: "Gateway", width: 100, optional: true, cell: (record) => named(record, "gateway") },
  { id: "door", header: "API", width: 100, optional: true, cell: (record) => record.door },
  { id: "way", header: "Named by", width: 110, optional: true, cell: (record) => record.way ?? "—" },
  {
    id: "error",
    header: "Error",
    width: 140,
    optional: true,
    cell: (record) => <span className="clip">{record.error ?? "—"}</span>,
  },
  {
    id: "request_bytes",
    header: "Request",
    numeric: true,
    width: 90,
    optional: true,
    cell: (record) => bytes(record.request_bytes),
  },
  {
    id: "response_bytes",
    header: "Answer",
    numeric: true,
    width: 90,
    optional: true,
    cell: (record) => bytes(record.response_bytes),
  },
  {
    id: "user",
    header: "User",
    width: 130,
    optional: true,
    cell: (record) => <span className="mono clip">{record.user ?? "—"}</span>,
  },
  {
    id: "id",
    header: "Id",
    width: 270,
    optional: true,
    cell: (record) => <span className="mono clip">{record.id}</span>,
  },
];

export function Requests() {
  const [search, change] = useAddress();
  const { workspace } = useWorkspace();
  const { query, relative, ready } = useScope();
  const { fields, onField } = useFilterFields();
  const [fresh, setFresh] = useState<RecordRow[]>([]);
  const [more, setMore] = useState(0);
  const sort = search.sort ?? "-started_at";
  const table = useRows(
    ["records"],
    (page) => answer(api.GET("/api/v1/records", { params: { query: { ...query, ...page } } })),
    { ...query, sort },
    { enabled: ready },
  );
  const inOrder = sort === "-started_at" && relative;
  const feedUrl = ready && inOrder ? `/api/v1/records/feed?${new URLSearchParams(feedQuery(query))}` : null;
  const feed = useFeed({
    url: feedUrl,
    onListening: () => void table.refetch(),
    events: {
      record: (data) => setFresh((before) => [data as RecordRow, ...before].slice(0, FRESH_MAX)),
      arrivals: (data) => setMore((before) => before + (data as { count: number }).count),
    },
  });
  const asked = JSON.stringify([query, sort]);
  useEffect(() => {
    setFresh([]);
    setMore(0);
  }, [asked]);
  const here = new Set(table.rows.map((record) => record.id));
  const waiting = fresh.filter((record) => !here.has(record.id));
  const behind = waiting.length + more;
  const show = () => {
    setFresh([]);
    setMore(0);
    void table.refetch();
  };
  // While nothing is there to be read, what comes is shown at once.
  const nothing = !table.loading && table.rows.length === 0;
  const rows = nothing ? waiting : table.rows;
  const open = rows.find((record) => record.id === search.open);
  const alone = useQuery({
    queryKey: ["records", "one", search.open],
    enabled: search.open !== undefined && open === undefined && !table.loading,
    queryFn: () => answer(api.GET("/api/v1/records/{record}", { params: { path: { record: search.open ?? "" } } })),
  });
  const shown = open ?? (search.open ? alone.data : undefined);
  const atFilter = table.problem?.pointer === "filter";
  return (
    <Page
      filling
      title="Requests"
      lead="One record for every request, also when it was refused, cut or broken. What was asked and answered stays in your network."
      acts={
        <>
          {behind > 0 && !nothing && (
            <Button variant="light" size="xs" onClick={show}>
              {behind.toLocaleString("en-US")} new
            </Button>
          )}
          {inOrder && <LiveBadge state={feed.state} seenAtMs={feed.seenAtMs} onToggle={feed.toggle} />}
        </>
      }
    >
      <FilterBar
        value={search.filter}
        onChange={(filter) => change({ filter })}
        fields={fields}
        onField={onField}
        placeholder="model:gpt-4o status>=400 duration>2s cost>0.01 meta.team=search"
        fault={atFilter ? table.problem?.message : null}
      />
      {table.problem && !atFilter && <ProblemNote error={table.problem} retry={() => void table.refetch()} />}
      <WithPeek
        list={
          <DataTable
            label="Requests"
            columns={COLUMNS}
            rows={rows}
            rowId={(record) => record.id}
            loading={table.loading && !table.problem}
            more={nothing ? null : table.more}
            sort={sort}
            onSort={(next) => change({ sort: next })}
            openId={search.open}
            onOpen={(id) => change({ open: id })}
            shown={search.columns}
            onShown={(columns) => change({ columns })}
            empty={
              <Empty
                filtered={search.filter !== undefined}
                over={!relative}
                workspace={workspace}
                onAll={() => change({ filter: undefined })}
              />
            }
          />
        }
        peek={shown ? <Peek record={shown} onClose={() => change({ open: undefined })} /> : null}
      />
    </Page>
  );
}

function feedQuery(query: Record<string, string>): Record<string, string> {
  const { filter, workspace } = query;
  return { ...(filter ? { filter } : {}), ...(workspace ? { workspace } : {}) };
}

function Empty({
  filtered,
  over,
  workspace,
  onAll,
}: {
  filtered: boolean;
  /** Nothing more will come in this time. */
  over: boolean;
  workspace: Workspace | undefined;
  onAll: () => void;
}) {
  const gatewayUrl = useGatewayUrl();
  const example = useExample(workspace?.id).named;
  if (filtered) {
    return (
      <EmptyState
        title="No request is like that in this time"
        acts={
          <Button variant="default" onClick={onAll}>
            Show all
          </Button>
        }
      />
    );
  }
  if (over) return <EmptyState title="No request in this time">Choose another time above.</EmptyState>;
  return (
    <EmptyState title={`Waiting for requests${workspace ? ` in “${workspace.name}”` : ""}…`}>
      <p>Send one with an API key of this workspace; it appears here as soon as the gateway has told of it.</p>
      <CodeTabs snippets={callSnippets(gatewayUrl, "gh_…", example)} />
    </EmptyState>
  );
}
