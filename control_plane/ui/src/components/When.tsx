import { useNowMs } from "@/components/now";
import { ago, dateTime, exact } from "@/lib/time";

/** How long ago; the exact moment on hover. */
export function When({ at, never = "never" }: { at: string | number | null | undefined; never?: string }) {
  const nowMs = useNowMs();
  if (at === null || at === undefined) return <span className="dim">{never}</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={exact(at)}>
      {ago(at, nowMs)}
    </time>
  );
}

export function Moment({ at }: { at: string | number | null | undefined }) {
  if (at === null || at === undefined) return <span className="dim">—</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={exact(at)}>
      {dateTime(at)}
    </time>
  );
}
