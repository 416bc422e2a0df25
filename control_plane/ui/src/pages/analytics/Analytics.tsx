import { Button, Group, Select, Switch, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { answer, api } from "@/api/client";
import { asProblem } from "@/api/problem";
import { useKeys } from "@/app/keys";
import { useFilterFields, useMeasures } from "@/app/records";
import { useAddress } from "@/app/search";
import { useWorkspace } from "@/app/workspace";
import { EmptyState } from "@/components/EmptyState";
import { FilterBar } from "@/components/FilterBar";
import { LiveBadge } from "@/components/LiveBadge";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { metadataField } from "@/lib/filter";
import { parseRange } from "@/lib/time";
import styles from "@/pages/analytics/Analytics.module.css";
import { Chart } from "@/pages/analytics/Chart";
import { NotKept, Stats } from "@/pages/analytics/Stats";
import { TopTable } from "@/pages/analytics/TopTable";
import { DIMENSIONS, TABS, withLeftOut } from "@/pages/analytics/tabs";

export function Analytics() {
  const [search, change] = useAddress();
  const { fields, onField } = useFilterFields();
  const tab = TABS.find((one) => one.id === search.tab) ?? TABS[0];
  const compare = search.compare === "previous";
  const by = search.by ?? tab?.by ?? "model";
  const totals = useMeasures({ measures: withLeftOut(tab?.stats ?? []), compare });
  const problem = totals.error ? asProblem(totals.error) : null;
  const atFilter = problem?.pointer === "filter";
  const { relative } = parseRange(search.range, Date.now());
  const at = TABS.findIndex((one) => one.id === tab?.id);
  const step = (by_: number) => change({ tab: TABS[(at + by_ + TABS.length) % TABS.length]?.id });
  useKeys("Analytics", [
    { keys: "[", label: "Previous tab", run: () => step(-1) },
    { keys: "]", label: "Next tab", run: () => step(1) },
  ]);
  const meta = useMetadataKeys(by);
  if (!tab) return null;
  return (
    <Page
      title="Analytics"
      acts={
        <>
          {relative && <LiveBadge state={totals.error ? "reconnecting" : "live"} seenAtMs={totals.dataUpdatedAt} />}
          <Button
            component={Link}
            to="/requests"
            search={{ workspace: search.workspace, range: search.range, filter: search.filter } as never}
            variant="default"
          >
            Open these requests
          </Button>
        </>
      }
    >
      <FilterBar
        value={search.filter}
        onChange={(filter) => change({ filter })}
        fields={fields}
        onField={onField}
        placeholder="model:gpt-4o status>=400 cost>0.01 meta.team=search"
        fault={atFilter ? problem?.message : null}
      />
      {problem && !atFilter && <ProblemNote error={problem} retry={() => void totals.refetch()} />}
      <Group justify="space-between" align="flex-end">
        <Tabs
          value={tab.id}
          onChange={(next) => change({ tab: next === "overview" ? undefined : (next ?? undefined), by: undefined })}
        >
          <Tabs.List>
            {TABS.map((one) => (
              <Tabs.Tab key={one.id} value={one.id}>
                {one.label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
        </Tabs>
        <Group gap="md">
          <Switch
            label="Compare with the time before"
            checked={compare}
            onChange={(event) => change({ compare: event.currentTarget.checked ? "previous" : undefined })}
          />
          <Select
            aria-label="Break down by"
            size="xs"
            w={200}
            searchable
            data={[
              {
                group: "Of the request",
                items: DIMENSIONS.map((one) => ({ value: one.value, label: `By ${lowered(one.label)}` })),
              },
              ...(meta.length > 0
                ? [{ group: "Metadata", items: meta.map((name) => ({ value: name, label: `By ${name}` })) }]
                : []),
            ]}
            value={by}
            onChange={(next) => change({ by: next === tab.by ? undefined : (next ?? undefined) })}
          />
        </Group>
      </Group>
      {totals.data && totals.data.totals.values.requests === 0 && !totals.data.kept_since ? <Nothing /> : null}
      <Stats measures={tab.stats} totals={totals.data?.totals} loading={totals.isPending} />
      <NotKept answer={totals.data} />
      <div className={styles.charts}>
        {tab.charts.map((chart) => (
          <Chart key={`${tab.id}-${chart.title}`} chart={chart} by={by} compare={compare} />
        ))}
      </div>
      <TopTable key={tab.id} measures={tab.table} by={by} compare={compare} />
    </Page>
  );
}

/** Dimensions of the metadata that workspaces declare shareable, and the one that the address names. */
function useMetadataKeys(by: string): string[] {
  const { workspace } = useWorkspace();
  const declared = (workspace?.settings.metadata_keys ?? []).map(metadataField);
  return [...new Set([...declared, ...(by.startsWith("meta.") ? [by] : [])])];
}

function lowered(label: string): string {
  return label.startsWith("API") ? label : label.toLowerCase();
}

/** No traffic in this time: where the nearest is. */
function Nothing() {
  const [search, change] = useAddress();
  const { workspace } = useWorkspace();
  const last = useQuery({
    queryKey: ["analytics", "last", workspace?.slug, search.filter],
    queryFn: () =>
      answer(
        api.GET("/api/v1/records", {
          params: {
            query: {
              limit: "1",
              ...(workspace ? { workspace: workspace.slug } : {}),
              ...(search.filter ? { filter: search.filter } : {}),
            },
          },
        }),
      ),
  });
  const newest = last.data?.data[0];
  if (!last.data) return null;
  if (!newest) {
    return (
      <EmptyState title="No request yet">
        {search.filter
          ? "Nothing ever matched this filter."
          : "Charts fill as soon as the first request comes; Home says how."}
      </EmptyState>
    );
  }
  const day = 86_400_000;
  const at = Date.parse(newest.started_at);
  const range = `${new Date(at - day).toISOString()}/${new Date(at + 60_000).toISOString()}`;
  return (
    <EmptyState
      title="No traffic in this time"
      acts={<Button onClick={() => change({ range }, true)}>Go to the newest</Button>}
    >
      The newest request that matches came {new Date(at).toLocaleString()}.
    </EmptyState>
  );
}
