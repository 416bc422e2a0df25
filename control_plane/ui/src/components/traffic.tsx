/** What went through each row of a list in the last 7 days, as columns that any list of records' nouns can have. */

import { Link } from "@tanstack/react-router";
import { type KeyMeasured, numeric, useMeasures } from "@/app/records";
import { useAddress } from "@/app/search";
import type { Column } from "@/components/DataTable";
import { When } from "@/components/When";
import { count, money, percent, UNKNOWN } from "@/lib/format";

const KEYS_MAX = 100;
const MEASURES = ["requests", "error_rate", "cost_usd", "rescued", "last_seen"];
const LAST = "7d";

export type Traffic = (id: string) => KeyMeasured["values"] | null | undefined;

/** By id: measures of the last 7 days; null where nothing went, undefined where it is not known. */
export function useTraffic(by: "api_key" | "virtual_key" | "config"): Traffic {
  const asked = useMeasures({ measures: MEASURES, by, sort: "-requests", limit: KEYS_MAX, last: LAST });
  const rows = asked.data?.rows;
  if (!rows) return () => undefined;
  const found = new Map(rows.map((row) => [row.key[by], row.values]));
  // Of what is not among the busiest nothing is told.
  return (id) => found.get(id) ?? (rows.length < KEYS_MAX ? null : undefined);
}

/** A list's columns, and before the one of this id what went through each row. */
export function withTraffic<Row extends { id: string }>(
  columns: Column<Row>[],
  before: string,
  field: "api_key" | "virtual_key" | "config",
  traffic: Traffic,
): Column<Row>[] {
  const at = columns.findIndex((column) => column.id === before);
  return [...columns.slice(0, at), ...trafficColumns<Row>(traffic, field), ...columns.slice(at)];
}

/** Requests, error rate, cost and the last use. */
function trafficColumns<Row extends { id: string }>(
  traffic: Traffic,
  field: "api_key" | "virtual_key" | "config",
): Column<Row>[] {
  const told = (id: string, measure: string) => numeric(traffic(id)?.[measure]);
  const dash = <span className="dim">{UNKNOWN}</span>;
  return [
    {
      id: "requests_7d",
      header: "Requests",
      numeric: true,
      width: 95,
      note: "Of the last 7 days; press one to see them",
      cell: (row) => {
        const values = traffic(row.id);
        if (values === undefined) return dash;
        if (values === null) return <span className="dim">0</span>;
        return <These field={field} id={row.id} text={count(numeric(values.requests))} />;
      },
    },
    {
      id: "error_rate_7d",
      header: "Errors",
      numeric: true,
      width: 80,
      note: "Share of the requests of the last 7 days",
      cell: (row) => percent(told(row.id, "error_rate")),
    },
    {
      id: "cost_7d",
      header: "Cost",
      numeric: true,
      width: 90,
      note: "Of the last 7 days, of the requests whose price is known",
      cell: (row) => money(traffic(row.id)?.cost_usd),
    },
    {
      id: "rescued_7d",
      header: "Rescued",
      numeric: true,
      width: 85,
      optional: true,
      note: "Answered well after a retry or a fallback, in the last 7 days",
      cell: (row) => count(told(row.id, "rescued")),
    },
    {
      id: "last_used",
      header: "Last used",
      width: 105,
      note: "In the last 7 days",
      cell: (row) => {
        const values = traffic(row.id);
        if (values === undefined) return dash;
        const at = values?.last_seen;
        return typeof at === "string" ? <When at={at} /> : <span className="dim">not in 7 days</span>;
      },
    },
  ];
}

function These({ field, id, text }: { field: string; id: string; text: string }) {
  const [search] = useAddress();
  return (
    <Link to="/requests" search={{ workspace: search.workspace, range: LAST, filter: `${field}:${id}` } as never}>
      {text}
    </Link>
  );
}
