import { Alert, Button, Group } from "@mantine/core";
import { IconUsers } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { asProblem } from "@/api/problem";
import { Difference } from "@/components/Difference";
import { Facts } from "@/components/Facts";
import { ProblemNote } from "@/components/ProblemNote";
import { differing, valueAt } from "@/lib/changes";
import { sentence, spoken, UNKNOWN } from "@/lib/format";

/** A row that says when it was changed, which is its version. */
export interface Versioned {
  updated_at: string | null;
}

/** What an edit that began with `row` sends along: it is refused if somebody changed the row since. */
export function from(row: Versioned): { "if-match": string } | undefined {
  return row.updated_at === null ? undefined : { "if-match": `"${row.updated_at}"` };
}

export function isLater(one: Versioned, other: Versioned): boolean {
  return Date.parse(one.updated_at ?? "") > Date.parse(other.updated_at ?? "");
}

/** Whether somebody else was faster. */
export function isClash(error: unknown): boolean {
  return Boolean(error) && asProblem(error).code === "changed_meanwhile";
}

interface ClashProps<Row extends Versioned> {
  error: unknown;
  /** What the edit began with. */
  began: Row;
  /** Names of the fields that the edit is about: others change by themselves, too. */
  fields: readonly string[];
  /** Reads the row as it is by now. */
  read: () => Promise<Row>;
  busy: boolean;
  /** The same edit again, on top of what is there. */
  onKeep: (now: Row) => void;
  /** The edit is given up. */
  onDiscard: (now: Row) => void;
  /** Said above it where the page shows many that could be meant. */
  title?: string;
}

const CHARS_MAX = 120;

/** Somebody else saved the same first: what they changed, and what can be done now. Nothing for any other refusal. */
export function Clash<Row extends Versioned>(props: ClashProps<Row>) {
  const { error, began, read } = props;
  const clashed = isClash(error);
  const found = useQuery({
    queryKey: ["clash", began.updated_at, asProblem(error).requestId],
    enabled: clashed,
    gcTime: 0,
    queryFn: read,
  });
  const note = useRef<HTMLDivElement>(null);
  const there = found.data !== undefined;
  useEffect(() => {
    if (there) note.current?.scrollIntoView({ block: "center" });
  }, [there]);
  if (!clashed) return null;
  if (found.error) return <ProblemNote error={found.error} retry={() => void found.refetch()} />;
  const now = found.data;
  if (!now) return null;
  const [one, other] = [picked(began, props.fields), picked(now, props.fields)];
  const changed = differing(one, other);
  return (
    <Alert
      ref={note}
      color="blue"
      variant="light"
      icon={<IconUsers size={18} />}
      role="alert"
      title={props.title ?? "Somebody else saved this while you edited it"}
    >
      <p style={{ margin: "0 0 8px" }}>
        Yours is not saved yet. {changed.length > 0 ? "What they changed:" : "All that stands here is as it was."}
      </p>
      <Facts
        facts={changed.map((path) => [
          sentence(path.split(".").map(spoken).join(" › ")),
          <Change key={path} before={valueAt(one, path)} after={valueAt(other, path)} />,
        ])}
      />
      <Group gap="sm" mt="sm">
        <Button size="xs" loading={props.busy} onClick={() => props.onKeep(now)}>
          Save what I changed on top of it
        </Button>
        <Button size="xs" variant="default" onClick={() => props.onDiscard(now)}>
          Give up my changes
        </Button>
      </Group>
    </Alert>
  );
}

function picked(row: object, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).filter(([name]) => fields.includes(name)));
}

function Change({ before, after }: { before: unknown; after: unknown }) {
  const [was, is] = [told(before), told(after)];
  if (was.length + is.length > CHARS_MAX) return <Difference before={before} after={after} />;
  return (
    <span>
      {was} → <strong>{is}</strong>
    </span>
  );
}

function told(value: unknown): string {
  if (value === null || value === undefined || value === "") return UNKNOWN;
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value.join(", ") || UNKNOWN;
  return typeof value === "string" ? value : JSON.stringify(value);
}
