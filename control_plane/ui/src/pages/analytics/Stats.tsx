import { Skeleton, Tooltip } from "@mantine/core";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { type Answer, type Measured, numeric } from "@/app/records";
import { change, count, UNKNOWN } from "@/lib/format";
import { dateTime } from "@/lib/time";
import styles from "@/pages/analytics/Analytics.module.css";
import { leftOut, type Said, said } from "@/pages/analytics/tabs";

/** The numbers of the whole range, and how they differ from the time before where that is asked for. */
export function Stats({
  measures,
  totals,
  loading,
}: {
  measures: readonly string[];
  totals: Measured | undefined;
  loading: boolean;
}) {
  return (
    <div className={styles.stats} data-many={measures.length > 6 || undefined}>
      {measures.map((measure) => {
        const { name, format, note, better } = said(measure);
        const value = numeric(totals?.values[measure]);
        const before = totals?.previous ? numeric(totals.previous[measure]) : undefined;
        return (
          <div key={measure} className={styles.stat}>
            <Tooltip label={note} multiline maw={260}>
              <div className={styles.name}>{name}</div>
            </Tooltip>
            <div className={styles.value}>{loading ? <Skeleton height={20} width={70} my={4} /> : format(value)}</div>
            <LeftOut measure={measure} measures={measures} measured={totals} />
            {before !== undefined && <Change now={value} before={before} better={better} format={format} />}
          </div>
        );
      })}
    </div>
  );
}

/** Beside a sum that not every request is in, how many are not. */
export function LeftOut({
  measure,
  measures,
  measured,
}: {
  measure: string;
  measures: readonly string[];
  measured: Measured | undefined;
}) {
  const unknown = leftOut(measure, measures);
  const requests = unknown && numeric(measured?.values[unknown.measure]);
  if (!unknown || !requests) return null;
  return (
    <div className={`${styles.left} dim`} title={said(unknown.measure).note}>
      + {count(requests)} {unknown.word}
    </div>
  );
}

/** From when on there is anything to be counted, where more was asked for. */
export function NotKept({ answer }: { answer: Answer | undefined }) {
  if (!answer?.kept_since) return null;
  return (
    <div className={`${styles.gone} dim`}>
      What was before {dateTime(answer.kept_since)} is not kept any more, or not all of it: what is gone is in no sum.
    </div>
  );
}

interface ChangeProps {
  now: number | null;
  before: number | null;
  better: Said["better"];
  format: Said["format"];
}

/** Better or worse is said by an arrow and a colour, never by the colour alone. */
function Change({ now, before, better, format }: ChangeProps) {
  const text = change(now, before);
  const up = now !== null && before !== null && now > before;
  const same = text === UNKNOWN || text.startsWith("±");
  const good = better === undefined ? undefined : up === (better === "more");
  return (
    <div
      className={`${styles.change} ${same || good === undefined ? "dim" : good ? "good" : "bad"}`}
      title={`Before: ${format(before)}`}
    >
      {!same && (up ? <IconArrowUp size={12} aria-label="up" /> : <IconArrowDown size={12} aria-label="down" />)}{" "}
      {text === UNKNOWN ? `before: ${format(before)}` : text}
    </div>
  );
}
