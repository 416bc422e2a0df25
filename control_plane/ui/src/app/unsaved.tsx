/** Edits that are not saved yet: whoever would lose one by leaving is asked first. One way for every form of a page. */

import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { type ShouldBlockFn, useBlocker } from "@tanstack/react-router";
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import type { Search } from "@/app/search";
import styles from "@/components/Dialog.module.css";

/** What else in the address the form hangs on: with another it is another form. */
type Hold = keyof Search | null;
type Edits = Map<symbol, Hold>;
type Ways = Parameters<ShouldBlockFn>[0];

interface Unsaved {
  /** Until what it returns is called. */
  begin: (hold: Hold) => () => void;
  mayLeave: () => Promise<boolean>;
}

const Context = createContext<Unsaved | null>(null);

export function UnsavedProvider({ children }: { children: ReactNode }) {
  const [edits] = useState<Edits>(() => new Map());
  const [any, setAny] = useState(false);
  const decide = useRef<((may: boolean) => void) | null>(null);
  const [asking, setAsking] = useState(false);
  const answer = useCallback((may: boolean) => {
    decide.current?.(may);
    decide.current = null;
    setAsking(false);
  }, []);
  const ask = useCallback(() => {
    decide.current?.(false); // Of two ways out at once the last one counts.
    setAsking(true);
    return new Promise<boolean>((resolve) => {
      decide.current = resolve;
    });
  }, []);
  useBlocker({
    shouldBlockFn: useCallback(async (ways) => loses(edits, ways) && !(await ask()), [edits, ask]),
    enableBeforeUnload: useCallback(() => edits.size > 0, [edits]),
    disabled: !any, // Who asks makes every step wait for its answer.
  });
  const value = useMemo<Unsaved>(() => {
    const begin = (hold: Hold) => {
      const edit = Symbol("edit");
      edits.set(edit, hold);
      setAny(true);
      return () => {
        edits.delete(edit);
        setAny(edits.size > 0);
      };
    };
    return { begin, mayLeave: async () => edits.size === 0 || ask() };
  }, [edits, ask]);
  return (
    <Context value={value}>
      {children}
      <Modal
        opened={asking}
        onClose={() => answer(false)}
        title={<span className={styles.title}>Leave without saving?</span>}
        closeButtonProps={{ "aria-label": "Close" }}
      >
        <Stack gap="md">
          <Text size="sm">What you changed on this page is not saved yet. It is lost if you leave.</Text>
          <Group justify="flex-end" gap="sm">
            <Button variant="default" data-autofocus onClick={() => answer(false)}>
              Stay here
            </Button>
            <Button color="red.9" onClick={() => answer(true)}>
              Leave without saving
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Context>
  );
}

/** While `dirty`, leaving the page asks first; `hold`: so does another value of this in its address. */
export function useUnsaved(dirty: boolean, hold: Hold = null): void {
  const { begin } = useKept();
  useLayoutEffect(() => (dirty ? begin(hold) : undefined), [begin, dirty, hold]);
}

/** Asks where something would be lost; for ways out that are no other address. */
export function useMayLeave(): () => Promise<boolean> {
  return useKept().mayLeave;
}

function useKept(): Unsaved {
  const kept = useContext(Context);
  if (!kept) throw new Error("no UnsavedProvider above");
  return kept;
}

function loses(edits: Edits, { current, next }: Ways): boolean {
  if (edits.size > 0 && current.pathname !== next.pathname) return true;
  const [here, there] = [current.search as Search, next.search as Search];
  return [...edits.values()].some((hold) => hold !== null && here[hold] !== there[hold]);
}
