import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef } from "react";
import { answer, api } from "@/api/client";
import { useFeed } from "@/app/feed";
import { useMeasures } from "@/app/records";
import { useRights, useWorkspace } from "@/app/workspace";
import { Section } from "@/components/Facts";
import { LiveBadge } from "@/components/LiveBadge";
import { NoWorkspace } from "@/components/NoWorkspace";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { Chart } from "@/pages/analytics/Chart";
import { Stats } from "@/pages/analytics/Stats";
import { withLeftOut } from "@/pages/analytics/tabs";
import { Attention } from "@/pages/home/Attention";
import { Recent } from "@/pages/home/Recent";
import { Start } from "@/pages/home/Start";

/** Between two looks at sums while requests come. */
const CALM_MS = 3_000;
const DAY = "24h";
const TODAY = ["requests", "error_rate", "duration_p95_us", "cost_usd", "tokens", "rescued"];
const REQUESTS = {
  kind: "dimension",
  title: "Requests by status",
  note: "The last 24 hours",
  measure: "requests",
  by: "status_class",
} as const;
const LATENCY = {
  kind: "measures",
  title: "Latency",
  note: "From the head of the request to the last byte of its answer",
  measures: ["duration_p50_us", "duration_p95_us", "duration_p99_us"],
} as const;

export function Home() {
  const { admin } = useRights();
  const { workspace, all, none } = useWorkspace();
  const first = useQuery({
    queryKey: ["records", "first", workspace?.slug],
    enabled: workspace !== undefined,
    queryFn: () =>
      answer(api.GET("/api/v1/records", { params: { query: { limit: "1", workspace: workspace?.slug ?? "" } } })),
  });
  const came = useCame();
  const feed = useFeed({
    url: workspace ? `/api/v1/records/feed?workspace=${encodeURIComponent(workspace.slug)}` : null,
    onListening: came,
    events: { record: came, arrivals: came },
  });
  if (none && !admin) return <NoWorkspace title="Home" />;
  const answered = (first.data?.data.length ?? 0) > 0;
  return (
    <Page title="Home" acts={<LiveBadge state={feed.state} seenAtMs={feed.seenAtMs} onToggle={feed.toggle} />}>
      <ProblemNote error={first.error} retry={() => void first.refetch()} />
      {(!answered || all.length === 0) && !first.isPending && <Start answered={answered} />}
      {workspace === undefined && first.isPending && <Start answered={false} />}
      {answered && <Today />}
      <Attention />
      <Recent />
    </Page>
  );
}

/** What to do when requests come: sums are read anew, the first time at once and then at most every few seconds. */
function useCame(): () => void {
  const queries = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const lookedAtMs = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    if (timer.current !== undefined) return;
    timer.current = setTimeout(
      () => {
        timer.current = undefined;
        lookedAtMs.current = Date.now();
        void queries.invalidateQueries({ queryKey: ["records", "first"] });
        void queries.invalidateQueries({ queryKey: ["analytics"] });
      },
      Math.max(0, lookedAtMs.current + CALM_MS - Date.now()),
    );
  }, [queries]);
}

function Today() {
  const totals = useMeasures({ measures: withLeftOut(TODAY), compare: true, last: DAY });
  return (
    <Section title="The last 24 hours, and how they differ from the 24 before">
      <ProblemNote error={totals.error} retry={() => void totals.refetch()} />
      <Stats measures={TODAY} totals={totals.data?.totals} loading={totals.isPending} />
      <div
        style={{
          display: "grid",
          gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 340px), 1fr))",
          gap: 14,
          marginTop: 6,
        }}
      >
        <Chart chart={REQUESTS} by="status_class" compare={false} last={DAY} />
        <Chart chart={LATENCY} by="" compare={false} last={DAY} />
      </div>
    </Section>
  );
}
