import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { lists, useChoices } from "@/app/nouns";
import { useAddress } from "@/app/search";
import { Copy } from "@/components/Copy";
import { Facts, Section } from "@/components/Facts";
import { PeekPanel } from "@/components/PeekPanel";
import { metadataField, withWord } from "@/lib/filter";
import { bytes, count, duration, money, spoken } from "@/lib/format";
import { exact } from "@/lib/time";
import { Status } from "@/pages/requests/marks";
import styles from "@/pages/requests/marks.module.css";
import type { RecordRow } from "@/pages/requests/Requests";

/** How a target was named, in a sentence; `docs/boundary.md` lists the ways. */
const WAYS: Record<string, string> = {
  config: "The call named a saved config.",
  inline_config: "The call brought a config along.",
  virtual_key: "The call named a virtual key.",
  provider: "The call named a provider.",
  model: "The model was named with its virtual key, @slug/model.",
  alias: "The model's name is an alias of the workspace.",
  listing: "Only one virtual key lists this model.",
  default_config: "The call named no target, so the default config applied.",
};

/** Everything that is told of a request: the decision, the attempts, the times, the money; never its content. */
export function Peek({ record, onClose }: { record: RecordRow; onClose: () => void }) {
  return (
    <PeekPanel
      title={record.model ?? spoken(record.door)}
      note={
        <span className="mono">
          {record.id} <Copy text={record.id} label="Copy request id" />
        </span>
      }
      onClose={onClose}
    >
      <Facts
        facts={[
          ["Status", <Status key="status" record={record} />],
          ["Ended", spoken(record.ending)],
          [
            "Error",
            record.error && (
              <span key="error" className="bad">
                {spoken(record.error)}
              </span>
            ),
          ],
          ["Began", exact(record.started_at)],
          ["Cost", <Cost key="cost" record={record} />],
          ["Tokens", `${count(record.input_tokens)} in, ${count(record.output_tokens)} out`],
        ]}
      />
      <Section title="Where it went, and why">
        <Decision record={record} />
      </Section>
      <Section title={`Attempts (${record.attempt_count})`}>
        <Times record={record} />
      </Section>
      {record.decision.length > 0 && (
        <Section title="Decision">
          <Facts
            facts={record.decision.map((reason) => [
              reason.path,
              `${spoken(reason.because)}${reason.child === null ? "" : ` → targets[${reason.child}]`}`,
            ])}
          />
        </Section>
      )}
      <Section title="Tokens and cost">
        <Facts
          facts={[
            ["Counts are from", usage(record.usage)],
            ["Input", count(record.input_tokens)],
            ["of it read from a cache", count(record.cache_read_tokens)],
            ["of it written to a cache", count(record.cache_write_tokens)],
            ["of it audio in", count(record.audio_input_tokens)],
            ["Output", count(record.output_tokens)],
            ["of it thinking", count(record.reasoning_tokens)],
            ["of it audio out", count(record.audio_output_tokens)],
            ["Cost of input", money(record.cost_input_usd)],
            ["Cost of output", money(record.cost_output_usd)],
            ["Cost of cached input", money(record.cost_cache_read_usd)],
            ["Cost of writing a cache", money(record.cost_cache_write_usd)],
            ["Cost of thinking", money(record.cost_reasoning_usd)],
            ["Cost of audio", money(record.cost_audio_usd)],
            ["Price row", record.price && <Mono key="price">{record.price}</Mono>],
            ["Multiplier's row", record.price_adjustment && <Mono key="adjustment">{record.price_adjustment}</Mono>],
          ]}
        />
      </Section>
      <Section title="Who and what">
        <Facts
          facts={[
            ["API", spoken(record.door)],
            ["Stream", record.stream ? "yes" : "no"],
            ["Workspace", <Named key="workspace" record={record} field="workspace" />],
            ["API key", <Named key="api_key" record={record} field="api_key" />],
            ["End user", record.user && <Only key="user" field="user" value={record.user} />],
            ["Gateway", <Named key="gateway" record={record} field="gateway" />],
            ["Node", <Mono key="node">{record.node}</Mono>],
            ["Decided by lease", record.lease],
            ["Gateway's cache", spoken(record.cache)],
            ["Request", bytes(record.request_bytes)],
            ["Answer", bytes(record.response_bytes)],
            ["Provider's status", record.provider_status],
            ["Provider asked to wait", record.retry_after_s === null ? null : `${record.retry_after_s} s`],
            ["Told as", spoken(record.mode)],
            ["Told to the control plane", exact(record.received_at)],
            ["Trace", record.trace_id && <Only key="trace" field="trace" value={record.trace_id} />],
            ["Span", record.span_id && <Mono key="span">{record.span_id}</Mono>],
          ]}
        />
      </Section>
      {Object.keys(record.metadata).length > 0 && (
        <Section title="Metadata">
          <Facts
            facts={Object.entries(record.metadata).map(([key, value]) => [
              key,
              <Only key={key} field={metadataField(key)} value={value} />,
            ])}
          />
        </Section>
      )}
    </PeekPanel>
  );
}

function usage(source: string): string {
  return (
    { provider: "the provider", estimated: "an estimate from bytes seen", none: "nowhere: nothing was used" }[source] ??
    "nowhere: unknown"
  );
}

function Mono({ children }: { children: ReactNode }) {
  return <span className="mono">{children}</span>;
}

/** A value, and a press to see all that have it. */
function Only({ field, value, children }: { field: string; value: string; children?: ReactNode }) {
  const [search, change] = useAddress();
  return (
    <Button
      variant="subtle"
      size="compact-xs"
      title="Show only these"
      onClick={() => change({ filter: withWord(search.filter ?? "", field, value), open: undefined }, true)}
      styles={{
        root: { paddingInline: 4, marginInline: -4, height: "auto", overflow: "visible" },
        inner: { overflow: "visible" },
        label: { whiteSpace: "normal", overflow: "visible", textAlign: "left", fontWeight: 400 },
      }}
    >
      {children ?? <span className="mono">{value}</span>}
    </Button>
  );
}

type NamedField = "workspace" | "api_key" | "virtual_key" | "config" | "gateway";

function Named({ record, field }: { record: RecordRow; field: NamedField }) {
  const id = record[field];
  if (!id) return <span className="dim">none</span>;
  return (
    <Only field={field} value={id}>
      {record.names[field] ?? id}
    </Only>
  );
}

function Cost({ record }: { record: RecordRow }) {
  if (record.cost_usd === null) return <span className="dim">unknown: it is in no sum</span>;
  return <strong>{money(record.cost_usd)}</strong>;
}

function Decision({ record }: { record: RecordRow }) {
  const config = record.config && (record.names.config ?? record.config);
  return (
    <ol className={styles.path}>
      <li title={record.way ?? undefined}>
        {WAYS[record.way ?? ""] ?? (record.way ? spoken(record.way) : "It was refused before a target was chosen.")}
      </li>
      {config && (
        <li>
          Config{" "}
          <Link to="/configs/$config" params={{ config }} search={{ tab: "changes" } as never}>
            {config}
          </Link>
          {record.config_revision !== null && `, revision ${record.config_revision}`}
        </li>
      )}
      {record.fallback_count > 0 && (
        <li>
          {record.fallback_count} target{record.fallback_count === 1 ? " was" : "s were"} given up for the next
        </li>
      )}
      {record.retry_count > 0 && (
        <li>
          {record.retry_count} call{record.retry_count === 1 ? " was" : "s were"} repeated
        </li>
      )}
      {record.provider && (
        <li>
          The last target tried was <Mono>{record.target ?? "the one named"}</Mono>: provider {record.provider}
          {record.virtual_key && (
            <>
              , virtual key <Named record={record} field="virtual_key" />
            </>
          )}
        </li>
      )}
    </ol>
  );
}

/** A virtual key as calls name it; by its id once it is deleted. */
function VirtualKey({ workspace, id }: { workspace: string | null; id: string }) {
  const keys = useChoices(["virtual-keys", workspace ?? ""], lists.virtualKeys(workspace ?? ""), workspace !== null);
  const found = keys.find((key) => key.id === id);
  return <Mono>{found ? `@${found.slug}` : id}</Mono>;
}

/** One bar for each part of the time, on one scale. */
function Times({ record }: { record: RecordRow }) {
  const whole = Math.max(
    record.duration_us ?? 0,
    ...record.attempts.map((attempt) => attempt.began_us + attempt.took_us),
    1,
  );
  const bar = (
    name: ReactNode,
    from: number,
    took: number | null,
    kind: { bad?: boolean; rest?: boolean },
    title?: string,
  ) => (
    <div className={styles.bar} title={title}>
      <span className="clip">{name}</span>
      <span className={styles.track}>
        {took !== null && (
          <span
            className={styles.fill}
            data-bad={kind.bad || undefined}
            data-rest={kind.rest || undefined}
            style={{ left: `${(from / whole) * 100}%`, width: `${(took / whole) * 100}%` }}
          />
        )}
      </span>
      <span className={styles.time}>{duration(took)}</span>
    </div>
  );
  return (
    <div className={styles.bars}>
      {bar("Receiving the body", 0, record.receive_us, { rest: true })}
      {record.attempts.map((attempt, index) => {
        const bad = attempt.error !== null || (attempt.status ?? 500) >= 400;
        const name = `${index + 1}. ${attempt.provider}: ${attempt.status ?? spoken(attempt.error ?? "no answer")}`;
        return (
          <div key={index}>
            {bar(name, attempt.began_us, attempt.took_us, { bad })}
            <div className={styles.attempt}>
              <span className="mono">{attempt.model ?? "no model"}</span> · {attempt.target}
              {attempt.virtual_key && (
                <>
                  {" · "}
                  <VirtualKey workspace={record.workspace} id={attempt.virtual_key} />
                </>
              )}
              {attempt.error && attempt.status !== null && <span className="bad"> · {spoken(attempt.error)}</span>}
              {" · "}began after {duration(attempt.began_us)}
            </div>
          </div>
        );
      })}
      {bar("To the first byte", 0, record.first_byte_us, {})}
      {bar("The whole", 0, record.duration_us, {})}
      <div className="dim">
        The gateway's own share: {duration(record.overhead_us)} · providers took {duration(record.provider_us)}
        {record.unsettled_count > 0 &&
          ` · ${record.unsettled_count} of the calls may have cost something and did not say so`}
      </div>
    </div>
  );
}
