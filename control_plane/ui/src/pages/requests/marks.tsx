import { IconAlertTriangle, IconCheck, IconX } from "@tabler/icons-react";
import { spoken } from "@/lib/format";
import styles from "@/pages/requests/marks.module.css";
import type { RecordRow } from "@/pages/requests/Requests";

/** Status and how it ended: by sign and word, not by colour alone. */
export function Status({ record }: { record: RecordRow }) {
  const { status, ending } = record;
  const bad = ending === "refused" || ending === "broken" || ending === "aborted" || (status ?? 0) >= 500;
  const tone = bad ? "bad" : (status ?? 0) >= 400 || ending === "left" ? "warn" : "good";
  const Icon = tone === "good" ? IconCheck : tone === "warn" ? IconAlertTriangle : IconX;
  return (
    <span className={`${styles.status} ${tone}`} title={spoken(ending)}>
      <Icon size={14} aria-hidden />
      <span className="numbers">{status ?? spoken(ending)}</span>
    </span>
  );
}

const MARKS_MAX = 6;

/** The path over providers as dots: filled is an answer, a ring is one given up. */
export function Attempts({ record }: { record: RecordRow }) {
  const told = record.attempts.map(
    (attempt, index) => `${index + 1}. ${attempt.provider}: ${attempt.status ?? attempt.error ?? "?"}`,
  );
  const good = record.attempts.map((attempt) => attempt.error === null && (attempt.status ?? 500) < 400);
  const rescued = record.attempt_count > 1 && good[good.length - 1];
  if (record.attempt_count === 0) return <span className="dim">none</span>;
  return (
    <span className={styles.attempts} title={told.join("\n")}>
      <span className={styles.said}>
        {record.attempt_count} {record.attempt_count === 1 ? "attempt" : "attempts"}
        {rescued ? ", rescued" : ""}
      </span>
      {good.slice(0, MARKS_MAX).map((ok, index) => (
        <span key={index} aria-hidden className={ok ? styles.dot : styles.ring} />
      ))}
      {rescued && (
        <span aria-hidden className="good">
          rescued
        </span>
      )}
    </span>
  );
}
