import { ActionIcon, Title } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { type ReactNode, useEffect } from "react";
import styles from "@/components/PeekPanel.module.css";

interface PeekPanelProps {
  title: ReactNode;
  note?: ReactNode;
  acts?: ReactNode;
  onClose: () => void;
  children: ReactNode;
}

/** Details beside the list, which stays. Its left edge can be moved; Escape closes it. */
export function PeekPanel({ title, note, acts, onClose, children }: PeekPanelProps) {
  useEffect(() => {
    function pressed(event: KeyboardEvent) {
      const layers = document.querySelectorAll('[aria-modal="true"], [role="listbox"], [role="menu"]');
      const elsewhere = [...layers].some((layer) => layer.checkVisibility());
      if (event.key === "Escape" && !event.defaultPrevented && !elsewhere) onClose();
    }
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [onClose]);
  return (
    <aside className={styles.peek} aria-label="Details">
      <header className={styles.header}>
        <div className={styles.heading}>
          <Title order={2} className="clip">
            {title}
          </Title>
          {note && <div className={styles.note}>{note}</div>}
        </div>
        <div className={styles.acts}>
          {acts}
          <ActionIcon variant="subtle" color="gray" aria-label="Close details" onClick={onClose}>
            <IconX size={17} />
          </ActionIcon>
        </div>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className={styles.body} tabIndex={0} aria-label="Details' content">
        {children}
      </section>
    </aside>
  );
}

/** A list, and beside it the details of the row that is open. */
export function WithPeek({ list, peek }: { list: ReactNode; peek: ReactNode }) {
  return (
    <div className={styles.split}>
      <div className={styles.list}>{list}</div>
      {peek}
    </div>
  );
}
