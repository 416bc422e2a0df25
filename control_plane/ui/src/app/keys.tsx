/** One set of keys everywhere. What is registered works and stands on the `?` sheet; nothing works while typing. */

import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from "react";

export interface Key {
  /** As pressed: `?`, `j`, `g h`, `Enter`. */
  keys: string;
  label: string;
  run: () => void;
}

interface Registry {
  add: (group: string, keys: Key[]) => () => void;
  all: () => { group: string; keys: Key[] }[];
}

const Keys = createContext<Registry | null>(null);
const SEQUENCE_MS = 1_000;

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

/** What has the focus is pressed by Enter itself. */
function pressesItself(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" && event.key !== " ") return false;
  return (
    event.target instanceof Element &&
    event.target.closest("a, button, summary, [role='tab'], [role='option']") !== null
  );
}

/** A dialog that is open has its own keys: those of the page behind it rest. */
function covered(): boolean {
  return document.querySelector('[aria-modal="true"]') !== null;
}

export function KeysProvider({ children }: { children: ReactNode }) {
  const groups = useRef(new Map<symbol, { group: string; keys: Key[] }>());
  const registry = useMemo<Registry>(
    () => ({
      add: (group, keys) => {
        const id = Symbol(group);
        groups.current.set(id, { group, keys });
        return () => groups.current.delete(id);
      },
      all: () => [...groups.current.values()],
    }),
    [],
  );
  useEffect(() => {
    let before = "";
    let beforeAtMs = 0;
    function pressed(event: KeyboardEvent) {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.getModifierState("AltGraph") || typing(event.target) || pressesItself(event) || covered()) return;
      const sequence = event.timeStamp - beforeAtMs < SEQUENCE_MS && before ? `${before} ${event.key}` : "";
      // The newest first: what a page says goes before what the frame says.
      const known = registry
        .all()
        .reverse()
        .flatMap((group) => group.keys);
      const second = known.find((key) => key.keys === sequence);
      const found = second ?? known.find((key) => key.keys === event.key);
      // What completes nothing may begin something.
      before = second ? "" : event.key;
      beforeAtMs = event.timeStamp;
      if (!found) return;
      event.preventDefault();
      found.run();
    }
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [registry]);
  return <Keys value={registry}>{children}</Keys>;
}

/** Keys that work while the caller is on the screen. */
export function useKeys(group: string, keys: Key[]): void {
  const registry = useContext(Keys);
  const newest = useRef(keys);
  newest.current = keys;
  const names = keys.map((key) => `${key.keys}\t${key.label}`).join("\n");
  useEffect(() => {
    const listed = names
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const [pressed = "", label = ""] = line.split("\t");
        return { keys: pressed, label, run: () => newest.current.find((key) => key.keys === pressed)?.run() };
      });
    return registry?.add(group, listed);
  }, [registry, group, names]);
}

export function useKeySheet(): { groups: { group: string; keys: Key[] }[]; open: boolean; toggle: () => void } {
  const registry = useContext(Keys);
  const [open, setOpen] = useState(false);
  return { groups: open ? (registry?.all() ?? []) : [], open, toggle: () => setOpen((now) => !now) };
}
