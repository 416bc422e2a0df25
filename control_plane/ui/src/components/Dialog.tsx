import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { isClash } from "@/components/Clash";
import { CodeTabs, type Snippet } from "@/components/CodeTabs";
import { Copy } from "@/components/Copy";
import styles from "@/components/Dialog.module.css";
import { Form } from "@/components/Form";
import type { Faults } from "@/components/faults";
import { ProblemNote } from "@/components/ProblemNote";

interface FormDialogProps {
  title: string;
  submit: string;
  busy: boolean;
  /** Told at the form's fields, and above the buttons where they belong to none. */
  faults: Faults;
  /** Told in place of the refusal where somebody else was faster. */
  clash?: ReactNode;
  onSubmit: () => void;
  onClose: () => void;
  size?: string;
  children: ReactNode;
}

/** A form over the page. Enter or Ctrl-Enter sends it, Escape leaves it; once begun, a stray press outside does not. */
export function FormDialog(props: FormDialogProps) {
  const [begun, setBegun] = useState(false);
  const begin = () => setBegun(true);
  return (
    <Modal
      opened
      onClose={props.onClose}
      closeOnClickOutside={!begun}
      title={<span className={styles.title}>{props.title}</span>}
      size={props.size ?? "md"}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Form faults={props.faults} busy={props.busy} onSubmit={props.onSubmit}>
        <Stack gap="md" onKeyDown={begin} onPointerDown={begin}>
          {props.children}
          {props.clash && isClash(props.faults.rest) ? props.clash : <ProblemNote error={props.faults.rest} />}
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={props.onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={props.busy}>
              {props.submit}
            </Button>
          </Group>
        </Stack>
      </Form>
    </Modal>
  );
}

interface ConfirmDialogProps {
  title: string;
  act: string;
  /** What hangs on it. */
  children: ReactNode;
  /** Must be typed before the button works, for what cannot be undone and reaches far. */
  typed?: string;
  busy: boolean;
  error: unknown;
  onConfirm: () => void;
  onClose: () => void;
}

export function ConfirmDialog(props: ConfirmDialogProps) {
  const [text, setText] = useState("");
  const ready = props.typed === undefined || text === props.typed;
  return (
    <Modal
      opened
      onClose={props.onClose}
      title={<span className={styles.title}>{props.title}</span>}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready && !props.busy) props.onConfirm();
        }}
      >
        <Stack gap="md">
          <Text size="sm" component="div">
            {props.children}
          </Text>
          {props.typed !== undefined && (
            <TextInput
              label={
                <>
                  Type <code>{props.typed}</code> to go on
                </>
              }
              data-autofocus
              value={text}
              autoComplete="off"
              onChange={(event) => setText(event.currentTarget.value)}
            />
          )}
          <ProblemNote error={props.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={props.onClose}>
              Cancel
            </Button>
            <Button type="submit" color="red.9" disabled={!ready} loading={props.busy}>
              {props.act}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

interface SecretDialogProps {
  title: string;
  secret: string;
  label: string;
  note: ReactNode;
  snippets?: Snippet[];
  children?: ReactNode;
  onClose: () => void;
}

/** A secret is shown once; a stray press outside must not take it away. */
export function SecretDialog(props: SecretDialogProps) {
  return (
    <Modal
      opened
      onClose={props.onClose}
      closeOnClickOutside={false}
      title={<span className={styles.title}>{props.title}</span>}
      size="lg"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Stack gap="md">
        <Text size="sm" component="div">
          {props.note}
        </Text>
        <div className={styles.secret}>
          <code data-testid="secret">{props.secret}</code>
          <Copy text={props.secret} label={props.label} button />
        </div>
        {props.snippets && <CodeTabs snippets={props.snippets} />}
        {props.children}
        <Group justify="flex-end">
          <Button variant="default" onClick={props.onClose}>
            I have stored it
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
