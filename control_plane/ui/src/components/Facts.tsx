import type { ReactNode } from "react";
import styles from "@/components/Facts.module.css";

/** Names and values of one thing, under each other. */
export function Facts({ facts }: { facts: [name: string, value: ReactNode, note?: string][] }) {
  return (
    <dl className={styles.facts}>
      {facts.map(([name, value, note]) => (
        <div key={name} className={styles.fact}>
          <dt title={note}>{name}</dt>
          <dd>{value ?? <span className="dim">—</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Section({ title, children, acts }: { title: string; children: ReactNode; acts?: ReactNode }) {
  return (
    <section className={styles.section}>
      <div className={styles.heading}>
        <h3>{title}</h3>
        {acts}
      </div>
      {children}
    </section>
  );
}
