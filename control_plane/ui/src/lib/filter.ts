/** The filter language as text: how it is cut into words, put together again, and completed. The server judges it. */

export interface Word {
  /** As it stands in the text. */
  text: string;
  start: number;
  end: number;
  negated: boolean;
  /** Empty for a bare word. */
  field: string;
  /** `:`, `=`, `>`, `>=`, `<`, `<=`, `!=`; empty for a bare word. */
  operator: string;
  value: string;
}

const SHAPE = /^(-?)(meta\.(?:"(?:[^"\\]|\\.)*"|[^\s":=<>!]+)|[A-Za-z_][A-Za-z0-9_.]*)(>=|<=|!=|:|=|>|<)(.*)$/s;

/** Words of a filter in their order. Quotes hold spaces together; a quote that is not closed goes to the end. */
export function words(text: string): Word[] {
  const found: Word[] = [];
  let at = 0;
  while (at < text.length) {
    while (at < text.length && isSpace(text[at])) at++;
    if (at >= text.length) break;
    const start = at;
    let quoted = false;
    while (at < text.length && (quoted || !isSpace(text[at]))) {
      if (quoted && text[at] === "\\") at++;
      else if (text[at] === '"') quoted = !quoted;
      at++;
    }
    found.push(word(text.slice(start, Math.min(at, text.length)), start));
  }
  return found;
}

function word(text: string, start: number): Word {
  const shape = SHAPE.exec(text);
  const base = { text, start, end: start + text.length };
  if (!shape) {
    const negated = text.startsWith("-") && text.length > 1;
    return { ...base, negated, field: "", operator: "", value: unquote(negated ? text.slice(1) : text) };
  }
  const [, minus, field = "", operator = "", value = ""] = shape;
  return { ...base, negated: minus === "-", field, operator, value: unquote(value) };
}

function isSpace(character: string | undefined): boolean {
  return character !== undefined && /\s/.test(character);
}

export function unquote(value: string): string {
  if (!value.startsWith('"')) return value;
  const inner = value.endsWith('"') && value.length > 1 ? value.slice(1, -1) : value.slice(1);
  return inner.replace(/\\(["\\])/g, "$1");
}

/** A value as it must stand in a filter: a bare comma would part two values, a bare star end a pattern. */
export function quote(value: string): string {
  if (value !== "" && !/[\s"\\,*]/.test(value)) return value;
  return `"${value.replace(/(["\\])/g, "\\$1")}"`;
}

export function without(text: string, removed: Word): string {
  return `${text.slice(0, removed.start).trimEnd()} ${text.slice(removed.end).trimStart()}`.trim();
}

/** `text` and one more word, unless it stands there already: exactly this value, of a field that may hold it in a part. */
export function withWord(text: string, field: string, value: string): string {
  return and(text, `${field}${field.startsWith("meta.") ? "=" : ":"}${quote(value)}`);
}

/** `text`, and that the field is not known. */
export function withUnknown(text: string, field: string): string {
  return and(text, `-${field}:*`);
}

function and(text: string, added: string): string {
  if (words(text).some((word) => word.text === added)) return text;
  return `${text.trim()} ${added}`.trim();
}

/** The field of a key of the metadata, in a filter and as a dimension. */
export function metadataField(key: string): string {
  return /^[\w-]+$/.test(key) ? `meta.${key}` : `meta."${key.replace(/(["\\])/g, "\\$1")}"`;
}

export interface FilterField {
  name: string;
  description?: string;
  operators?: string[];
  values?: string[];
}

export interface Completion {
  label: string;
  detail: string;
  /** The whole text with the completion in it. */
  text: string;
}

const SHOWN_MAX = 8;

/** What may stand where the caret is: names of fields, or after a field's operator its known values. */
export function completions(text: string, caret: number, fields: readonly FilterField[]): Completion[] {
  const here = words(text).find((word) => word.start <= caret && caret <= word.end);
  const [start, end] = here ? [here.start, here.end] : [caret, caret];
  const put = (replacement: string) => `${text.slice(0, start)}${replacement}${text.slice(end)}`;
  const minus = here?.negated ? "-" : "";
  if (here?.operator) {
    const field = fields.find((known) => known.name === here.field);
    const typed = here.value.toLowerCase();
    return (field?.values ?? [])
      .filter((value) => value.toLowerCase().includes(typed) && value !== here.value)
      .slice(0, SHOWN_MAX)
      .map((value) => ({
        label: value,
        detail: here.field,
        text: put(`${minus}${here.field}${here.operator}${quote(value)} `),
      }));
  }
  const typed = (here?.value ?? "").toLowerCase();
  return fields
    .filter((field) => field.name.toLowerCase().includes(typed))
    .sort((a, b) => Number(b.name.startsWith(typed)) - Number(a.name.startsWith(typed)))
    .slice(0, SHOWN_MAX)
    .map((field) => ({
      label: field.name,
      detail: field.description ?? "",
      text: put(`${minus}${field.name}${field.operators?.[0] ?? ":"}`),
    }));
}

/** For lists whose server knows no bare words: each stands for a part of the first field. */
export function onlyFields(text: string, first: string): string {
  return words(text)
    .map((word) => (word.field ? word.text : `${word.negated ? "-" : ""}${first}:${quote(word.value)}`))
    .join(" ");
}
