import { type KeyMeasured, numeric, useMeasures } from "@/app/records";
import { useAddress } from "@/app/search";
import { type Series, TimeSeries } from "@/components/TimeSeries";
import { withUnknown, withWord } from "@/lib/filter";
import { type Chart as ChartOf, fieldOf, said } from "@/pages/analytics/tabs";

const SHOWN_MAX = 6;
const CLASSES: Record<string, Series["colour"]> = { "2xx": 0, "3xx": 7, "4xx": "warn", "5xx": "bad" };
const DIGITS = [0, 2, 1, 3, 4, 5];

export function nameOf(row: KeyMeasured, by: string): string {
  const key = row.key[by];
  if (key !== null && key !== undefined) return row.names[by] ?? String(key);
  return by === "status_class" || by === "status" ? "no answer" : "unknown";
}

const points = (values: readonly (string | number | null)[] | undefined) => (values ?? []).map(numeric);

/** Whether these are sums that leave out what is unknown. */
const sums = (measures: readonly string[]) => measures.every((measure) => /(_usd|tokens)$/.test(measure));

export function Chart({ chart, by, compare, last }: { chart: ChartOf; by: string; compare: boolean; last?: string }) {
  const [search, change] = useAddress();
  const dimension = chart.kind === "dimension" ? (chart.by ?? by) : undefined;
  const measures = chart.kind === "dimension" ? [chart.measure] : chart.measures;
  const alone = measures.length === 1 && dimension === undefined;
  const asked = useMeasures({
    measures,
    step: true,
    compare: compare && alone,
    last,
    ...(dimension ? { by: dimension, sort: `-${measures[0]}`, limit: SHOWN_MAX } : {}),
  });
  const { data } = asked;
  const at = (data?.at ?? []).map((moment) => Date.parse(moment));
  const series: Series[] = [];
  if (data && dimension && chart.kind === "dimension") {
    data.rows.forEach((row, index) => {
      const key = row.key[dimension];
      series.push({
        id: key === null || key === undefined ? "" : String(key),
        name: nameOf(row, dimension),
        values: points(row.points?.[chart.measure]),
        colour: dimension === "status_class" ? (CLASSES[String(key)] ?? "rest") : index,
      });
    });
    if (dimension === "status_class") series.sort((one, other) => one.name.localeCompare(other.name));
    if (data.other)
      series.push({ id: "other", name: "others", values: points(data.other.points?.[chart.measure]), colour: "rest" });
  } else if (data && chart.kind === "measures") {
    chart.measures.forEach((measure, index) => {
      series.push({
        id: measure,
        name: /_(p\d+)_us$/.exec(measure)?.[1] ?? said(measure).name,
        values: points(data.totals.points?.[measure]),
        previous: data.totals.previous_points ? points(data.totals.previous_points[measure]) : undefined,
        colour: DIGITS[index] ?? index,
      });
    });
  }
  const first = said(measures[0] ?? "");
  // Of money and tokens null is not nothing: there were requests, and nobody knows what they came to.
  const unknown = sums(measures) && series.some((one) => one.values.includes(null));
  const pick = (id: string) => {
    if (!dimension || id === "other") return;
    const field = fieldOf(dimension);
    // What is shown is what was counted: of errors not also what ended well.
    const counted = measures[0] === "errors" ? withWord(search.filter ?? "", "failed", "true") : (search.filter ?? "");
    change({ filter: id === "" ? withUnknown(counted, field) : withWord(counted, field, id) }, true);
  };
  return (
    <TimeSeries
      title={chart.title}
      note={chart.note}
      at={at}
      stepMs={at.length > 1 ? (at[1] ?? 0) - (at[0] ?? 0) : 60_000}
      series={series}
      format={first.brief ?? first.format}
      stacked={chart.kind === "dimension" || (chart.stacked ?? false)}
      loading={asked.isPending}
      nothing={unknown ? "Unknown for every request in this time" : undefined}
      onZoom={(from, to) => change({ range: `${new Date(from).toISOString()}/${new Date(to).toISOString()}` }, true)}
      {...(dimension ? { onPick: pick } : {})}
    />
  );
}
