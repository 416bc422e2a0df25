import { Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { Mark } from "@/app/Shell";
import styles from "@/pages/entry/Entry.module.css";

/** The frame of what strangers see. */
export function Entry({ title, lead, children }: { title: string; lead: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Gatehouse`;
  }, [title]);
  return (
    <main className={styles.entry}>
      <div className={styles.card}>
        <div className={styles.brand}>
          <Mark size={28} />
          Gatehouse
        </div>
        <div>
          <Title order={1}>{title}</Title>
          <p className={styles.lead}>{lead}</p>
        </div>
        {children}
      </div>
    </main>
  );
}
