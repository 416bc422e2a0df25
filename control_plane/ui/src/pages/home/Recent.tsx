import { Link } from "@tanstack/react-router";
import { lists } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights } from "@/app/workspace";
import { Section } from "@/components/Facts";
import { When } from "@/components/When";
import { deed } from "@/lib/told";
import styles from "@/pages/home/Home.module.css";

const SHOWN = "6";

/** The newest changes, by people and by programs; coming and going is left out. */
export function Recent() {
  const { admin } = useRights();
  const [search] = useAddress();
  const table = useRows(
    ["audit", "recent"],
    lists.audit,
    { filter: "-action:session", sort: "-at", limit: SHOWN },
    { enabled: admin },
  );
  if (!admin || table.rows.length === 0) return null;
  return (
    <Section
      title="Changed lately"
      acts={
        <Link to="/audit" search={{ workspace: search.workspace } as never}>
          All
        </Link>
      }
    >
      <ul className={styles.items}>
        {table.rows.slice(0, Number(SHOWN)).map((entry) => {
          return (
            <li key={entry.id}>
              <Link
                to="/audit"
                search={{ workspace: search.workspace, open: entry.id } as never}
                className={styles.item}
              >
                <span className={styles.when}>
                  <When at={entry.at} />
                </span>
                <span className="clip">
                  {entry.actor_name ?? entry.actor} {deed(entry)}
                </span>
              </Link>
            </li>
          );
        })}
      </ul>
    </Section>
  );
}
