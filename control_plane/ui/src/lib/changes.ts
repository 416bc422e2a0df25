/** What an edit changes, against what it began with. Pure. */

type Fields = Readonly<Record<string, unknown>>;

export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Of `now` the fields that are other than in `first`: an edit that sends no more leaves the rest as others have it. */
export function changes<T extends Fields>(first: Fields, now: T): Partial<T> {
  return Object.fromEntries(Object.entries(now).filter(([name, value]) => !same(value, first[name]))) as Partial<T>;
}

/** The names of the fields that differ, those inside of objects with their path. */
export function differing(one: Fields, other: Fields, within = ""): string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].flatMap((name) => {
    const [before, after] = [one[name], other[name]];
    if (same(before, after)) return [];
    return isFields(before) && isFields(after) ? differing(before, after, `${within}${name}.`) : [within + name];
  });
}

/** What stands at such a path. */
export function valueAt(fields: Fields, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => (isFields(value) ? value[name] : undefined), fields);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
