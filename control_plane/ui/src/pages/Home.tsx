import { useQuery } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import { useMeasures } from "@/app/records";
import { useWorkspace } from "@/app/workspace";
import { Section } from "@/components/Facts";
import { LiveBadge } from "@/components/LiveBadge";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { Chart } from "@/pages/analytics/Chart";
import { Stats } from "@/pages/analytics/Stats";
import { Attention } from "@/pages/home/Attention";
import { Recent } from "@/pages/home/Recent";
import { Start } from "@/pages/home/Start";

const WAIT_MS = 2_000;
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
  const { workspace, all } = useWorkspace();
  const first = useQuery({
    queryKey: ["records", "first", workspace?.slug],
    enabled: workspace !== undefined,
    queryFn: () =>
      answer(api.GET("/api/v1/records", { params: { query: { limit: "1", workspace: workspace?.slug ?? "" } } })),
    refetchInterval: (query) => (query.state.data?.data.length ? false : WAIT_MS),
  });
  const answered = (first.data?.data.length ?? 0) > 0;
  return (
    <Page
      title="Home"
      acts={<LiveBadge state={first.error ? "reconnecting" : "live"} seenAtMs={first.dataUpdatedAt} />}
    >
      <ProblemNote error={first.error} retry={() => void first.refetch()} />
      {(!answered || all.length === 0) && !first.isPending && <Start answered={answered} />}
      {workspace === undefined && first.isPending && <Start answered={false} />}
      {answered && <Today />}
      <Attention />
      <Recent />
    </Page>
  );
}

function Today() {
  const totals = useMeasures({ measures: TODAY, compare: true, last: DAY });
  return (
    <Section title="The last 24 hours, and how they differ from the 24 before">
      <ProblemNote error={totals.error} retry={() => void totals.refetch()} />
      <Stats measures={TODAY} totals={totals.data?.totals} loading={totals.isPending} />
      <div style={{ display: "grid", gridTemplateColumns: "repeat(2, minmax(0, 1fr))", gap: 14, marginTop: 6 }}>
        <Chart chart={REQUESTS} by="status_class" compare={false} last={DAY} />
        <Chart chart={LATENCY} by="" compare={false} last={DAY} />
      </div>
    </Section>
  );
}
