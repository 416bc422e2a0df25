import { IconAlertTriangle, IconCheck, IconCircleDashed, IconX } from "@tabler/icons-react";
import styles from "@/components/State.module.css";
import { spoken } from "@/lib/format";

const ICONS = { good: IconCheck, warn: IconAlertTriangle, bad: IconX, idle: IconCircleDashed } as const;

export type Tone = keyof typeof ICONS;

const STATES: Record<string, Tone> = {
  active: "good",
  connected: "good",
  open: "warn",
  accepted: "good",
  used: "good",
  complete: "good",
  enrolled: "idle",
  unused: "idle",
  expired: "idle",
  revoked: "bad",
  silent: "bad",
  used_again: "bad",
  refused: "bad",
  broken: "bad",
  aborted: "bad",
  left: "warn",
};

/** A state in a word, an icon and a colour: never by colour alone. */
export function State({ state, tone }: { state: string; tone?: Tone }) {
  const shown = tone ?? STATES[state] ?? "idle";
  const Icon = ICONS[shown];
  return (
    <span className={styles.state} data-tone={shown}>
      <Icon size={12} aria-hidden />
      {spoken(state)}
    </span>
  );
}
