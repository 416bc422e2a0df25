import { Badge } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconCircleDashed, IconX } from "@tabler/icons-react";
import { spoken } from "@/lib/format";

const TONES = {
  good: { color: "green", icon: IconCheck },
  warn: { color: "orange", icon: IconAlertTriangle },
  bad: { color: "red", icon: IconX },
  idle: { color: "gray", icon: IconCircleDashed },
} as const;

export type Tone = keyof typeof TONES;

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
  const { color, icon: Icon } = TONES[tone ?? STATES[state] ?? "idle"];
  return (
    <Badge color={color} leftSection={<Icon size={12} aria-hidden />} tt="none" fw={500}>
      {spoken(state)}
    </Badge>
  );
}
