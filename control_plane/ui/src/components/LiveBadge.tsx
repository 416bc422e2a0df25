import { UnstyledButton } from "@mantine/core";
import styles from "@/components/LiveBadge.module.css";
import { useNowMs } from "@/components/now";
import { span } from "@/lib/time";

export type LiveState = "connecting" | "live" | "paused" | "reconnecting";

interface LiveBadgeProps {
  state: LiveState;
  /** When something last came. */
  seenAtMs: number;
  onToggle?: () => void;
}

/** Whether what one sees is fresh; a press pauses it or lets it go on. */
export function LiveBadge({ state, seenAtMs, onToggle }: LiveBadgeProps) {
  const nowMs = useNowMs();
  const age = seenAtMs ? ` · ${span(Math.max(0, nowMs - seenAtMs))}` : "";
  const text = { connecting: "Connecting", live: "Live", paused: "Paused", reconnecting: "Reconnecting" }[state];
  const inside = (
    <>
      <span className={styles.dot} data-state={state} />
      <span>
        {text}
        <span className="dim numbers">{age}</span>
      </span>
    </>
  );
  if (!onToggle) return <span className={styles.badge}>{inside}</span>;
  return (
    <UnstyledButton
      className={styles.badge}
      aria-pressed={state === "paused"}
      title={state === "paused" ? "Go on" : "Pause"}
      onClick={onToggle}
    >
      {inside}
    </UnstyledButton>
  );
}
