import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import { colourOf, type Series, type TimeSeriesProps } from "@/components/TimeSeries";
import styles from "@/components/TimeSeries.module.css";
import { axisTime, dateTime } from "@/lib/time";

const CROSSHAIR = uPlot.sync("page");
/** What is counted in a step is as high all through it. */
const STEPPED = uPlot.paths.stepped?.({ align: 1 });
const ZOOM_PX_MIN = 6;
const TIP_PX = 190;
/** A character of an axis, about. */
const LABEL_PX = 6.5;

interface Tip {
  index: number;
  left: number;
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Values without a neighbour make no line: they are drawn as points. */
const alone: uPlot.Series.Points.Filter = (plot, series, show) => {
  const values = plot.data[series] ?? [];
  if (!show) return null;
  return [...values.keys()].filter((at) => known(values[at]) && !known(values[at - 1]) && !known(values[at + 1]));
};

function known(value: number | null | undefined): boolean {
  return value !== null && value !== undefined;
}

/** Each series with those before it under it; a gap where every one is unknown. */
function piled(series: Series[]): (number | null)[][] {
  const sums: number[] = [];
  return series.map((one) =>
    one.values.map((value, index) => {
      if (series.every((other) => !known(other.values[index]))) return null;
      sums[index] = (sums[index] ?? 0) + (value ?? 0);
      return sums[index] ?? null;
    }),
  );
}

export default function Plot({ title, at, stepMs, series, format, stacked, heightPx = 190, onZoom }: TimeSeriesProps) {
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme("light");
  const [tip, setTip] = useState<Tip | null>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const write = useRef(format);
  write.current = format;
  // What is drawn, as a text: a chart is made anew only when that is another.
  const drawn = JSON.stringify([at, stepMs, series, stacked]);
  useEffect(() => {
    if (!host.current || width < 50) return;
    const axis = {
      stroke: colour("--mantine-color-dimmed"),
      grid: { stroke: colour("--gh-line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const spanMs = (at[at.length - 1] ?? 0) - (at[0] ?? 0);
    const endMs = (at[at.length - 1] ?? 0) + stepMs;
    // What is counted in the last step is as wide as in any other.
    const closed = (values: (number | null)[]) => [...values, stacked ? (values[values.length - 1] ?? null) : null];
    const lines = stacked ? piled(series) : series.map((one) => one.values);
    // The topmost pile is drawn first, and the lower ones over it.
    const order = series.map((_, index) => index);
    if (stacked) order.reverse();
    const before = stacked ? [] : series.filter((one) => one.previous);
    const plot = new uPlot(
      {
        width,
        height: heightPx,
        padding: [8, 18, 0, 0],
        legend: { show: false },
        cursor: {
          sync: { key: CROSSHAIR.key },
          points: { size: 6 },
          drag: { x: true, y: false, setScale: false },
          y: false,
        },
        scales: {
          x: { time: true, range: () => [(at[0] ?? 0) / 1000, endMs / 1000] },
          y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.06 : 1] },
        },
        axes: [
          {
            ...axis,
            space: 70,
            size: 26,
            values: (_, moments) => moments.map((moment) => axisTime(moment * 1000, spanMs)),
          },
          {
            ...axis,
            size: (_, labels) =>
              Math.max(58, 16 + LABEL_PX * Math.max(0, ...(labels ?? []).map((label) => label.length))),
            space: 34,
            values: (_, values) => values.map((value) => (value === 0 ? "0" : write.current(value))),
          },
        ],
        series: [
          {},
          ...order.map((index) => {
            const one = series[index] as Series;
            const stroke = colour(colourOf(one));
            return stacked
              ? {
                  stroke,
                  width: 1,
                  ...(STEPPED ? { paths: STEPPED } : {}),
                  fill: `color-mix(in srgb, ${stroke} 55%, ${colour("--mantine-color-body")})`,
                  points: { show: false },
                }
              : { stroke, width: 1.75, points: { show: true, size: 5, fill: stroke, filter: alone }, spanGaps: false };
          }),
          ...before.map((one) => ({ stroke: colour(colourOf(one)), width: 1, dash: [4, 4], points: { show: false } })),
        ],
        hooks: {
          setCursor: [
            (here) => {
              const { idx, left } = here.cursor;
              const out = idx === null || idx === undefined || left === undefined || left < 0;
              setTip(out ? null : { index: Math.min(idx, at.length - 1), left });
            },
          ],
          setSelect: [
            (here) => {
              if (here.select.width < ZOOM_PX_MIN) return;
              const from = here.posToVal(here.select.left, "x") * 1000;
              const to = here.posToVal(here.select.left + here.select.width, "x") * 1000;
              here.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              zoom.current?.(Math.floor(from), Math.ceil(to));
            },
          ],
        },
      },
      [
        [...at, endMs].map((moment) => moment / 1000),
        ...order.map((index) => closed(lines[index] ?? [])),
        ...before.map((one) => closed(one.previous ?? [])),
      ] as uPlot.AlignedData,
      host.current,
    );
    CROSSHAIR.sub(plot);
    return () => {
      CROSSHAIR.unsub(plot);
      plot.destroy();
    };
  }, [drawn, width, heightPx, scheme]);
  const moment = tip === null ? undefined : at[tip.index];
  return (
    <div ref={ref} style={{ width: "100%", height: heightPx }}>
      <div ref={host} role="img" aria-label={said(title, series, format, stacked)} onMouseLeave={() => setTip(null)} />
      {tip && moment !== undefined && (
        <div
          className={styles.tip}
          style={{ left: tip.left + 70 + TIP_PX > width ? tip.left + 50 - TIP_PX : tip.left + 74, top: 8 }}
        >
          <div className={styles.when}>{dateTime(moment)}</div>
          <table>
            <tbody>
              {series.map((one) => (
                <tr key={one.id}>
                  <td>
                    <span
                      className={styles.swatch}
                      style={{ background: `var(${colourOf(one)})`, display: "inline-block", marginRight: 6 }}
                    />
                    {one.name}
                  </td>
                  <td>
                    {format(one.values[tip.index] ?? null)}
                    {one.previous && <span className="dim"> ({format(one.previous[tip.index] ?? null)})</span>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

/** The chart in words, for who does not see it. */
function said(
  title: string,
  series: Series[],
  format: (value: number | null) => string,
  stacked: boolean | undefined,
): string {
  const parts = series.map((one) => {
    const known = one.values.filter((value): value is number => value !== null);
    if (known.length === 0) return `${one.name}: unknown`;
    const sum = known.reduce((total, value) => total + value, 0);
    return stacked
      ? `${one.name}: ${format(sum)} in all`
      : `${one.name}: from ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
  });
  return `${title}. ${parts.join("; ")}`;
}
