import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useEffect, useState } from "react";

const SHOWN_MS = 1_500;

async function toClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain http a browser offers no clipboard to write to; a selected text can still be copied.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function Copy({ text, label = "Copy", button }: { text: string; label?: string; button?: boolean }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [done]);
  const icon = done ? <IconCheck size={15} /> : <IconCopy size={15} />;
  const act = () => void toClipboard(text).then(() => setDone(true));
  if (button) {
    return (
      <Button variant={done ? "light" : "filled"} leftSection={icon} onClick={act}>
        {done ? "Copied" : label}
      </Button>
    );
  }
  return (
    <Tooltip label={done ? "Copied" : label}>
      <ActionIcon variant="subtle" color="gray" size="sm" aria-label={done ? "Copied" : label} onClick={act}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}
