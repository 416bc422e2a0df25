/** Places in JSON: pointers, paths, and what a schema says about a place. */

export type Path = (string | number)[];

/** RFC 6901: `/targets/0/virtual_key`. */
export function parsePointer(pointer: string): Path {
  if (pointer === "") return [];
  return pointer
    .replace(/^\//, "")
    .split("/")
    .map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  title?: string;
  description?: string;
  format?: string;
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  prefixItems?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  minLength?: number;
  maxLength?: number;
}

/** The plain schemas that `schema` may mean: references followed, alternatives laid side by side. */
export function alternatives(schema: Schema | undefined, root: Schema, depth = 0): Schema[] {
  if (!schema || depth > 12) return [];
  if (schema.$ref) return alternatives(root.$defs?.[schema.$ref.split("/").pop() ?? ""], root, depth + 1);
  const several = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (several) return several.flatMap((one) => alternatives(one, root, depth + 1));
  return [schema];
}

/** What may stand at `path`. */
export function schemasAt(root: Schema, path: Path): Schema[] {
  let here = alternatives(root, root);
  for (const part of path) {
    here = here.flatMap((schema) => {
      if (typeof part === "number") return alternatives(schema.items ?? schema.prefixItems?.[part], root);
      const property = schema.properties?.[part];
      if (property) return alternatives(property, root);
      return typeof schema.additionalProperties === "object" ? alternatives(schema.additionalProperties, root) : [];
    });
  }
  return here;
}

export interface Offered {
  label: string;
  detail: string;
}

/** Names of properties that may stand in the object at `path` and are not there yet. */
export function propertiesAt(root: Schema, path: Path, there: readonly string[]): Offered[] {
  const found = new Map<string, Offered>();
  for (const schema of schemasAt(root, path)) {
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      if (there.includes(name)) continue;
      const plain = alternatives(property, root);
      const kinds = plain.flatMap((one) => one.type ?? []).filter((kind) => kind !== "null");
      found.set(name, { label: name, detail: property.description ?? [...new Set(kinds)].join(" or ") });
    }
  }
  return [...found.values()];
}

/** Values that a schema lists for `path`, as JSON. */
export function valuesAt(root: Schema, path: Path): string[] {
  const found = schemasAt(root, path).flatMap((schema) => {
    if (schema.enum) return schema.enum;
    if (schema.const !== undefined) return [schema.const];
    return schema.type === "boolean" ? [true, false] : [];
  });
  return [...new Set(found.map((value) => JSON.stringify(value)))];
}

const FIRST = ["strategy"];
const LAST = ["targets"];

/** As somebody would write it: how targets are chosen before the targets, and rows of numbers on one line. */
export function written(value: unknown): string {
  const text = JSON.stringify(inOrder(value), null, 2);
  // No text of JSON has a line break, so this finds arrays alone.
  return text.replace(
    /\[\n\s*((?:-?[\d.eE+-]+,?\s*)+)\]/g,
    (_, row: string) => `[${row.trim().replace(/,\s+/g, ", ")}]`,
  );
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (value === null || typeof value !== "object") return value;
  const place = (name: string) => (FIRST.includes(name) ? 0 : LAST.includes(name) ? 2 : 1);
  const pairs = Object.entries(value).sort(([one], [other]) => place(one) - place(other));
  return Object.fromEntries(pairs.map(([name, one]) => [name, inOrder(one)]));
}
