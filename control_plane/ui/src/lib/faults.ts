/** Which field of a form a fault belongs to, and how it is told there. Pure. */

import { sentence } from "@/lib/format";
import { parsePointer } from "@/lib/json";

export interface Fault {
  /** JSON pointer into what was sent. */
  pointer: string;
  message: string;
}

/** A name as a pointer writes it. */
export function step(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** A pointer as people read it: /targets/1/virtual_key is targets[1].virtual_key. */
export function spokenPlace(pointer: string): string {
  return parsePointer(pointer).reduce<string>(
    (told, part) => (typeof part === "number" ? `${told}[${part}]` : told ? `${told}.${part}` : part),
    "",
  );
}

/** The field that a fault belongs to: the one it names, or else the nearest that it is a part of. */
export function fieldOf(fault: Fault, fields: Readonly<Record<string, unknown>>): string | undefined {
  return Object.keys(fields)
    .filter((field) => fault.pointer === field || fault.pointer.startsWith(`${field}/`))
    .sort((one, other) => other.length - one.length)[0];
}

/** What is told at the field; of a part of it, with that part's name. */
export function toldAt(fault: Fault, field: string, value: unknown): string {
  const [part] = parsePointer(fault.pointer.slice(field.length));
  if (part === undefined) return sentence(fault.message);
  const named = Array.isArray(value) ? value[Number(part)] : part;
  return typeof named === "string" && named ? `“${named}”: ${fault.message}` : sentence(fault.message);
}
