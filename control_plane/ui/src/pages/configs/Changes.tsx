import { Button } from "@mantine/core";
import { lists } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { Difference } from "@/components/Difference";
import { EmptyState } from "@/components/EmptyState";
import { ProblemNote } from "@/components/ProblemNote";
import { Moment } from "@/components/When";
import { did } from "@/lib/format";
import styles from "@/pages/configs/Changes.module.css";

/** Who changed a config, when, and what: out of the audit. */
export function Changes({ config }: { config: string }) {
  const table = useRows(["audit", "config", config], lists.audit, {
    filter: `kind:config resource:${config}`,
    sort: "-at",
    limit: "25",
  });
  if (table.problem) return <ProblemNote error={table.problem} retry={() => void table.refetch()} />;
  if (!table.loading && table.rows.length === 0) return <EmptyState title="No change is on record" />;
  return (
    <ol className={styles.changes}>
      {table.rows.map((entry) => (
        <li key={entry.id} className={styles.change}>
          <div className={styles.who}>
            <strong>{entry.actor_name ?? entry.actor}</strong>
            <span className="dim">
              {did(entry.action)} it · <Moment at={entry.at} />
              {entry.revision ? ` · revision ${entry.revision}` : ""}
            </span>
          </div>
          <Difference before={entry.before} after={entry.after} />
        </li>
      ))}
      {table.more && (
        <Button variant="default" onClick={table.more}>
          Older ones
        </Button>
      )}
    </ol>
  );
}
