import { Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import styles from "@/components/EmptyState.module.css";

/** Names the next step and lets one take it. */
export function EmptyState({ title, children, acts }: { title: string; children?: ReactNode; acts?: ReactNode }) {
  return (
    <div className={styles.empty}>
      <Title order={2}>{title}</Title>
      {children && (
        <Text component="div" size="sm" c="dimmed" className={styles.text}>
          {children}
        </Text>
      )}
      {acts && <div className={styles.acts}>{acts}</div>}
    </div>
  );
}
