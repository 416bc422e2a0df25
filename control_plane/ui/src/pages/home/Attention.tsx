import { IconAlertTriangle, IconCheck, IconX } from "@tabler/icons-react";
import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { lists } from "@/app/nouns";
import { everyRow, useRows } from "@/app/queries";
import { numeric, useMeasures } from "@/app/records";
import { useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import { Section } from "@/components/Facts";
import { ProblemNote } from "@/components/ProblemNote";
import { When } from "@/components/When";
import { count, percent } from "@/lib/format";
import styles from "@/pages/home/Home.module.css";

const REFRESH_MS = 10_000;
const ERROR_RATE_MAX = 0.05;
const REQUESTS_MIN = 20;
/** Fewer than that prove nothing. */
const BEHIND_MS_MAX = 60_000;
const BACKLOG_MS_MAX = 5 * 60_000;
const SOON_MS = 7 * 86_400_000;

interface Item {
  id: string;
  bad: boolean;
  text: ReactNode;
  to: string;
  search?: Record<string, string>;
}

interface Found {
  items: Item[];
  /** Not all is there yet that one would have to know. */
  looking: boolean;
  error: unknown;
}

/** What somebody should look at, the worst first. Nothing is a good answer and is said too, once it is known. */
export function Attention() {
  const { admin } = useRights();
  const fleet = useFleet();
  const all = [fleet, useTraffic(), useKeysThatEnd()];
  const items = all.flatMap((one) => one.items).sort((one, other) => Number(other.bad) - Number(one.bad));
  const looking = all.some((one) => one.looking);
  const error = all.find((one) => one.error)?.error;
  const [search] = useAddress();
  return (
    <Section title="Needs attention">
      <ul className={styles.items}>
        {items.map((item) => (
          <li key={item.id}>
            <Link
              to={item.to}
              search={{ workspace: search.workspace, ...item.search } as never}
              className={styles.item}
            >
              {item.bad ? (
                <IconX size={16} className="bad" aria-label="Broken" />
              ) : (
                <IconAlertTriangle size={16} className="warn" aria-label="Look" />
              )}
              <span>{item.text}</span>
            </Link>
          </li>
        ))}
        {items.length === 0 && !error && (
          <li className={styles.item}>
            {!looking && <IconCheck size={16} className="good" aria-hidden />}
            <span className="dim">
              {looking
                ? "Looking…"
                : admin && fleet.beats
                  ? "Nothing. Gateways beat, serve the newest state and refuse nothing."
                  : "Nothing that you can see from here."}
            </span>
          </li>
        )}
      </ul>
      <ProblemNote error={error} />
    </Section>
  );
}

function useFleet(): Found & { beats: boolean } {
  const { admin } = useRights();
  const gateways = useRows(["gateways"], lists.gateways, {}, { enabled: admin, refetchMs: REFRESH_MS });
  const nodes = useQueries({
    queries: gateways.rows.map((gateway) => ({
      queryKey: ["nodes", gateway.id, "all"],
      queryFn: () => everyRow(lists.nodes(gateway.id)),
      refetchInterval: REFRESH_MS,
    })),
  });
  const items: Item[] = [];
  gateways.rows.forEach((gateway, index) => {
    const to = `/gateways/${gateway.id}`;
    const living = (nodes[index]?.data ?? []).filter((node) => node.state !== "revoked");
    const silent = living.filter((node) => node.state === "silent");
    if (silent.length > 0) {
      items.push({
        id: `silent-${gateway.id}`,
        bad: true,
        to,
        text: (
          <>
            Gateway “{gateway.name}”: {silent.length} of {living.length} nodes silent; last heard of{" "}
            <When at={gateway.seen_at} />
          </>
        ),
      });
    }
    if (gateway.nodes === 0)
      items.push({
        id: `empty-${gateway.id}`,
        bad: false,
        to,
        search: { tab: "enrol" },
        text: <>Gateway “{gateway.name}” has no node yet</>,
      });
    const refused = living.reduce((sum, node) => sum + (node.health?.refused_count ?? 0), 0);
    if (refused > 0)
      items.push({
        id: `refused-${gateway.id}`,
        bad: true,
        to,
        text: (
          <>
            Gateway “{gateway.name}” cannot use {count(refused)} resources; their last good version serves on
          </>
        ),
      });
    const lost = living.reduce((sum, node) => sum + node.records.dropped.reduce((part, one) => part + one.count, 0), 0);
    const refusedRows = living.reduce(
      (sum, node) => sum + node.records.refused.reduce((part, one) => part + one.count, 0),
      0,
    );
    if (lost + refusedRows > 0) {
      items.push({
        id: `lost-${gateway.id}`,
        bad: lost > 0,
        to,
        text: (
          <>
            Gateway “{gateway.name}”: {count(lost)} records of requests were lost there, and {count(refusedRows)}{" "}
            refused here; no sum has them
          </>
        ),
      });
    }
    const oldestMs = Math.min(
      ...living.flatMap((node) => (node.health?.records?.oldest_at ? [Date.parse(node.health.records.oldest_at)] : [])),
    );
    if (Date.now() - oldestMs > BACKLOG_MS_MAX) {
      items.push({
        id: `backlog-${gateway.id}`,
        bad: false,
        to,
        text: (
          <>
            Gateway “{gateway.name}” holds records of requests back; the oldest is from <When at={oldestMs} />
          </>
        ),
      });
    }
    const since = living.flatMap((node) =>
      node.shards.flatMap((shard) => (shard.behind_since ? [Date.parse(shard.behind_since)] : [])),
    );
    const oldest = Math.min(...since);
    if (since.length > 0 && Date.now() - oldest > BEHIND_MS_MAX && silent.length === 0) {
      items.push({
        id: `behind-${gateway.id}`,
        bad: false,
        to,
        text: (
          <>
            Gateway “{gateway.name}” does not serve a change made <When at={oldest} />
          </>
        ),
      });
    }
  });
  return {
    items,
    looking: admin && (gateways.loading || nodes.some((one) => one.isPending)),
    error: gateways.problem ?? nodes.find((one) => one.error)?.error,
    beats: gateways.rows.length > 0,
  };
}

function useTraffic(): Found {
  const { data, isPending, fetchStatus } = useMeasures({
    measures: ["requests", "error_rate", "cost_unknown"],
    last: "24h",
  });
  const value = (measure: string) => numeric(data?.totals.values[measure]) ?? 0;
  const items: Item[] = [];
  if (value("requests") >= REQUESTS_MIN && value("error_rate") > ERROR_RATE_MAX) {
    items.push({
      id: "errors",
      bad: true,
      to: "/analytics",
      search: { tab: "errors" },
      text: <>{percent(value("error_rate"))} of the requests of the last 24 hours failed</>,
    });
  }
  if (value("cost_unknown") > 0) {
    items.push({
      id: "unpriced",
      bad: false,
      to: "/requests",
      search: { filter: "-cost:*" },
      text: (
        <>{count(value("cost_unknown"))} requests of the last 24 hours have no known price, and are in no sum of cost</>
      ),
    });
  }
  // Where this fails, what stands above it on the page does, and says so.
  return { items, looking: isPending && fetchStatus !== "idle", error: null };
}

function useKeysThatEnd(): Found {
  const { workspace } = useWorkspace();
  const keys = useRows(
    ["api-keys", workspace?.id],
    lists.apiKeys(workspace?.id ?? ""),
    { filter: "state:active" },
    { enabled: workspace !== undefined },
  );
  const items = keys.rows
    .filter((key) => key.expires_at && Date.parse(key.expires_at) - Date.now() < SOON_MS)
    .map((key) => ({
      id: key.id,
      bad: false,
      to: "/api-keys",
      search: { open: key.id },
      text: (
        <>
          API key “{key.name}” expires <When at={key.expires_at} />
        </>
      ),
    }));
  return { items, looking: workspace !== undefined && keys.loading, error: keys.problem };
}
