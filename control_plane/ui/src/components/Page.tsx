import { Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import styles from "@/components/Page.module.css";

interface PageProps {
  title: string;
  lead?: ReactNode;
  acts?: ReactNode;
  /** The page takes the window's height, and its table scrolls in it. */
  filling?: boolean;
  children: ReactNode;
}

export function Page({ title, lead, acts, filling, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Gatehouse`;
  }, [title]);
  return (
    <div className={filling ? `${styles.page} ${styles.filling}` : styles.page}>
      <header className={styles.header}>
        <div>
          <Title order={1}>{title}</Title>
          {lead && <p className={styles.lead}>{lead}</p>}
        </div>
        {acts && <div className={styles.acts}>{acts}</div>}
      </header>
      {children}
    </div>
  );
}
