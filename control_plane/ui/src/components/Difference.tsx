import { useMemo } from "react";
import styles from "@/components/Difference.module.css";
import { difference } from "@/lib/difference";

const SAID = { "+": "added", "-": "removed", " ": undefined };

/** Before and after as one text: what went, what came. Signs say it too, not colours alone. */
export function Difference({ before, after }: { before: unknown; after: unknown }) {
  const lines = useMemo(() => difference(before, after), [before, after]);
  if (lines.length === 0) return <span className="dim">Nothing of its content is told.</span>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <pre className={styles.difference} tabIndex={0} role="region" aria-label="What changed">
      {lines.map((line, index) => (
        <div key={index} className={styles.line} data-sign={line.sign} title={SAID[line.sign]}>
          <span aria-hidden>{line.sign} </span>
          {line.text}
        </div>
      ))}
    </pre>
  );
}
