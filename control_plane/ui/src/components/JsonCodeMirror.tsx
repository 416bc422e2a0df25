import { autocompletion, type Completion, type CompletionContext, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
import { type Diagnostic, linter, lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import { nonce } from "@/app/nonce";
import type { JsonEditorProps } from "@/components/JsonEditor";
import type { Fault } from "@/lib/faults";
import { type Path, parsePointer, propertiesAt, type Schema, schemasAt, valuesAt } from "@/lib/json";

type Node = ReturnType<ReturnType<typeof syntaxTree>["resolveInner"]>;

const look = EditorView.theme({
  "&": {
    fontSize: "12.5px",
    height: "100%",
    backgroundColor: "var(--mantine-color-body)",
    color: "var(--mantine-color-text)",
  },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mantine-font-family-monospace)", lineHeight: "1.6" },
  ".cm-gutters": { backgroundColor: "var(--gh-ground)", color: "var(--mantine-color-dimmed)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--gh-hover)" },
  ".cm-cursor": { borderLeftColor: "var(--mantine-color-text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--gh-chosen)",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--mantine-color-body)",
    border: "1px solid var(--mantine-color-default-border)",
    color: "var(--mantine-color-text)",
  },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    backgroundColor: "var(--gh-accent)",
    color: "var(--mantine-color-body)",
  },
  ".cm-completionDetail": { fontStyle: "normal", color: "inherit", opacity: "0.8" },
});

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--gh-accent)" },
  { tag: tags.string, color: "var(--gh-good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--gh-warn)" },
]);

export default function JsonCodeMirror(props: JsonEditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const newest = useRef(props);
  newest.current = props;
  useEffect(() => {
    if (!host.current) return;
    const editable = newest.current.onChange !== undefined;
    const save = () => {
      newest.current.onSave?.();
      return true;
    };
    const made = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: newest.current.value,
        extensions: [
          nonce ? EditorView.cspNonce.of(nonce) : [],
          keymap.of([
            { key: "Mod-s", run: save, preventDefault: true },
            { key: "Mod-Enter", run: save },
            // Tab leaves the editor, as everywhere on the page, unless something can be completed or indented by it.
            ...completionKeymap,
            ...defaultKeymap,
            ...historyKeymap,
            { key: "Alt-Tab", run: indentWithTab.run },
          ]),
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          indentOnInput(),
          indentUnit.of("  "),
          json(),
          syntaxHighlighting(colours),
          look,
          EditorView.lineWrapping,
          EditorState.readOnly.of(!editable),
          EditorView.editable.of(editable),
          EditorView.contentAttributes.of({
            "aria-label": newest.current.label,
            "aria-multiline": "true",
            // What cannot be edited is read and scrolled, and must be reachable for that.
            ...(editable ? {} : { role: "textbox", "aria-readonly": "true", tabindex: "0" }),
          }),
          editable
            ? [
                highlightActiveLine(),
                lintGutter(),
                linter((current) => {
                  const told = (newest.current.faults ?? []).map((fault) => placed(current.state, fault));
                  return current.state.doc.length ? [...jsonParseLinter()(current), ...told] : told;
                }),
                autocompletion({ override: [(context) => complete(context, newest.current)], icons: false }),
              ]
            : [],
          EditorView.updateListener.of((update) => {
            if (update.docChanged) newest.current.onChange?.(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, []);
  useEffect(() => {
    const current = view.current;
    if (!current || current.state.doc.toString() === props.value) return;
    current.dispatch({ changes: { from: 0, to: current.state.doc.length, insert: props.value } });
  }, [props.value]);
  useEffect(() => {
    const current = view.current;
    if (!current || !props.faults?.length) return;
    const told = props.faults.map((fault) => placed(current.state, fault));
    current.dispatch(setDiagnostics(current.state, told));
  }, [props.faults]);
  return (
    <div
      ref={host}
      style={{
        height: props.heightPx ?? 320,
        border: "1px solid var(--mantine-color-default-border)",
        borderRadius: 6,
        overflow: "hidden",
      }}
    />
  );
}

/** The fault at the value its pointer names, or at the nearest one above that is there. */
function placed(state: EditorState, fault: Fault): Diagnostic {
  const top = syntaxTree(state).topNode.firstChild;
  let node = top;
  for (const part of parsePointer(fault.pointer)) {
    const inside: Node | null = node && child(state, node, part);
    if (!inside) break;
    node = inside;
  }
  const [from, to] = node ? [node.from, Math.max(node.from + 1, node.to)] : [0, state.doc.length];
  const line = state.doc.lineAt(from);
  return { from, to: Math.min(to, Math.max(line.to, from + 1)), severity: "error", message: fault.message };
}

function child(state: EditorState, node: Node, part: string | number): Node | null {
  if (node.name === "Array") {
    const items = node.getChildren("JsonText").length ? [] : values(node);
    return typeof part === "number" ? (items[part] ?? null) : null;
  }
  for (const property of node.getChildren("Property")) {
    if (nameOf(state, property) === String(part)) return property.lastChild;
  }
  return null;
}

function values(array: Node): Node[] {
  const found: Node[] = [];
  for (let at = array.firstChild; at; at = at.nextSibling) if (!["[", "]", ",", "⚠"].includes(at.name)) found.push(at);
  return found;
}

function nameOf(state: EditorState, property: Node): string {
  const name = property.getChild("PropertyName");
  if (!name) return "";
  try {
    return String(JSON.parse(state.sliceDoc(name.from, name.to)));
  } catch {
    return "";
  }
}

function pathOf(state: EditorState, node: Node): Path {
  const path: Path = [];
  for (let at: Node | null = node; at?.parent; at = at.parent) {
    if (at.name === "Property") path.unshift(nameOf(state, at));
    const here = at;
    if (at.parent.name === "Array") path.unshift(values(at.parent).findIndex((value) => value.from === here.from));
  }
  return path;
}

function complete(context: CompletionContext, { schema, known = {} }: JsonEditorProps) {
  if (!schema) return null;
  const { state, pos } = context;
  const node = syntaxTree(state).resolveInner(pos, -1);
  const typed = context.matchBefore(/"[^"\n]*|[\w.-]+/);
  if (!typed && !context.explicit) return null;
  const from = typed?.from ?? pos;
  const property = node.name === "Property" || node.name === "PropertyName" ? node : node.parent;
  const valued = property?.name === "Property" && beforeIsColon(state, from) ? property : null;
  const [to, options] = valued
    ? [pos, valueOptions(state, valued, schema, known)]
    : [pos, nameOptions(state, node, schema)];
  if (options.length === 0) return null;
  const closed = state.sliceDoc(pos, pos + 1) === '"' ? pos + 1 : to;
  return { from, to: closed, options, filter: true, validFor: /^"?[\w.-]*$/ };
}

function beforeIsColon(state: EditorState, position: number): boolean {
  return /:\s*$/.test(state.sliceDoc(Math.max(0, position - 40), position));
}

function valueOptions(
  state: EditorState,
  property: Node,
  schema: Schema,
  known: Record<string, readonly string[]>,
): Completion[] {
  const name = nameOf(state, property);
  const listed = valuesAt(schema, pathOf(state, property));
  const named = (known[name] ?? []).map((value) => JSON.stringify(value));
  return [...named, ...listed].map((label) => ({ label, type: "constant" }));
}

function nameOptions(state: EditorState, node: Node, schema: Schema): Completion[] {
  let object: Node | null = node;
  while (object && object.name !== "Object") object = object.parent;
  if (!object) return [];
  const there = object.getChildren("Property").map((property) => nameOf(state, property));
  const path = pathOf(state, object);
  return propertiesAt(schema, path, there).map(({ label, detail }) => ({
    label: `"${label}"`,
    detail: detail.length > 60 ? `${detail.slice(0, 60)}…` : detail,
    apply: `"${label}": ${stub(schema, [...path, label])}`,
    type: "property",
  }));
}

/** How a value of this kind begins. */
function stub(schema: Schema, path: Path): string {
  const kinds = schemasAt(schema, path).flatMap((one) => one.type ?? []);
  if (kinds.includes("object")) return "{}";
  if (kinds.includes("array")) return "[]";
  if (kinds.includes("string")) return '""';
  return "";
}
