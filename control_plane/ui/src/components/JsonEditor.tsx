import { Skeleton } from "@mantine/core";
import { lazy, Suspense } from "react";
import type { Fault } from "@/lib/faults";
import type { Schema } from "@/lib/json";

export interface JsonEditorProps {
  label: string;
  value: string;
  onChange?: (text: string) => void;
  /** Ctrl-S and Ctrl-Enter. */
  onSave?: () => void;
  schema?: Schema | undefined;
  /** Values to offer by the name of the property they belong to: slugs of virtual keys, say. */
  known?: Record<string, readonly string[]>;
  /** By their pointers into the edited document. */
  faults?: readonly Fault[];
  heightPx?: number;
}

const Editor = lazy(() => import("@/components/JsonCodeMirror"));

/** JSON with completion from its schema, and faults shown where they are. Loaded when it is first needed. */
export function JsonEditor(props: JsonEditorProps) {
  return (
    <Suspense fallback={<Skeleton height={props.heightPx ?? 320} radius="sm" />}>
      <Editor {...props} />
    </Suspense>
  );
}

/** A document to look at. */
export function JsonView({ value, label, heightPx = 260 }: { value: unknown; label: string; heightPx?: number }) {
  return <JsonEditor label={label} value={JSON.stringify(value, null, 2)} heightPx={heightPx} />;
}
