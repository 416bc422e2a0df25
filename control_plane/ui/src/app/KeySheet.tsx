import { Modal } from "@mantine/core";
import styles from "@/app/KeySheet.module.css";
import type { Key } from "@/app/keys";
import dialog from "@/components/Dialog.module.css";

const ALWAYS = [
  { keys: "Ctrl K", label: "Palette: go to, switch, do" },
  { keys: "Esc", label: "Close one layer" },
  { keys: "Ctrl Enter", label: "Send a form" },
];

export function KeySheet({ groups, onClose }: { groups: { group: string; keys: Key[] }[]; onClose: () => void }) {
  const byGroup = new Map<string, { keys: string; label: string }[]>();
  for (const { group, keys } of groups) byGroup.set(group, [...(byGroup.get(group) ?? []), ...keys]);
  byGroup.set("Everywhere", [...(byGroup.get("Everywhere") ?? []), ...ALWAYS]);
  return (
    <Modal
      opened
      onClose={onClose}
      title={<span className={dialog.title}>Keys of this page</span>}
      size="lg"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <div className={styles.sheet}>
        {[...byGroup].map(([group, keys]) => (
          <section key={group}>
            <h2 className={styles.group}>{group}</h2>
            <dl className={styles.keys}>
              {keys.map((key) => (
                <div key={key.keys + key.label} className={styles.key}>
                  <dt>
                    {key.keys.split(" ").map((part) => (
                      <kbd key={part}>{part}</kbd>
                    ))}
                  </dt>
                  <dd>{key.label}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Modal>
  );
}
