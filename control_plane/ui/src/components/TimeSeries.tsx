import { Skeleton } from "@mantine/core";
import { lazy, Suspense } from "react";
import styles from "@/components/TimeSeries.module.css";

export interface Series {
  id: string;
  name: string;
  /** A value for each moment; null is unknown and leaves a gap. */
  values: (number | null)[];
  /** The same time before, drawn thin and dashed. */
  previous?: (number | null)[] | undefined;
  /** Place in the palette, or a tone that means something. */
  colour: number | "good" | "warn" | "bad" | "rest";
}

export interface TimeSeriesProps {
  title: string;
  /** What the number is, how it is made. */
  note?: string;
  /** Moments, milliseconds. */
  at: number[];
  /** How long a moment lasts, milliseconds. */
  stepMs: number;
  series: Series[];
  format: (value: number | null) => string;
  /** Shares of a whole, laid on each other. */
  stacked?: boolean;
  heightPx?: number;
  loading?: boolean;
  /** Said where nothing is to be drawn. */
  nothing?: string | undefined;
  /** A stretch was dragged over. */
  onZoom?: (fromMs: number, toMs: number) => void;
  /** A series was pressed in the legend. */
  onPick?: (id: string) => void;
}

const Plot = lazy(() => import("@/components/Plot"));

export const COLOURS = ["--gh-1", "--gh-2", "--gh-3", "--gh-4", "--gh-5", "--gh-6", "--gh-7", "--gh-8"] as const;
const TONES = { good: "--gh-good", warn: "--gh-warn", bad: "--gh-bad", rest: "--gh-rest" } as const;

/** Name of the variable a series is drawn in. */
export function colourOf(series: Series): string {
  return typeof series.colour === "number"
    ? (COLOURS[series.colour % COLOURS.length] ?? COLOURS[0])
    : TONES[series.colour];
}

/** Measures over time: drag to zoom, press a name to filter. All charts of a page share one crosshair. */
export function TimeSeries(props: TimeSeriesProps) {
  const { title, note, series, heightPx = 190 } = props;
  const nothing = series.every((one) => one.values.every((value) => value === null || value === 0));
  return (
    <figure className={styles.figure}>
      <figcaption className={styles.title} title={note}>
        {title}
      </figcaption>
      <div style={{ height: heightPx }} className={styles.plot}>
        {props.loading ? (
          <Skeleton height={heightPx - 10} radius="sm" />
        ) : nothing ? (
          <div className={styles.nothing}>{props.nothing ?? "Nothing in this time"}</div>
        ) : (
          <Suspense fallback={<Skeleton height={heightPx - 10} radius="sm" />}>
            <Plot {...props} heightPx={heightPx} />
          </Suspense>
        )}
      </div>
      <ul className={styles.legend} aria-label={`Series of ${title}`}>
        {series.map((one) => (
          <li key={one.id}>
            <Name series={one} onPick={props.onPick} />
          </li>
        ))}
      </ul>
    </figure>
  );
}

function Name({ series, onPick }: { series: Series; onPick: ((id: string) => void) | undefined }) {
  const inside = (
    <>
      <span className={styles.swatch} style={{ background: `var(${colourOf(series)})` }} />
      <span className="clip">{series.name}</span>
    </>
  );
  if (!onPick || series.colour === "rest") return <span className={styles.name}>{inside}</span>;
  return (
    <button type="button" className={styles.name} onClick={() => onPick(series.id)} title={`Show only ${series.name}`}>
      {inside}
    </button>
  );
}
