/** What a refused request says about each field of a form, until the field is edited. */

import { useState } from "react";
import { asProblem, type Problem } from "@/api/problem";
import { same } from "@/lib/changes";
import { fieldOf, toldAt } from "@/lib/faults";

export interface Faults {
  /** What is wrong with the field of this pointer. */
  at: (field: string) => string | undefined;
  /** What belongs to no field, to be told by itself. */
  rest: Problem | null;
  /** Another one for each refusal. */
  refusal: unknown;
}

/** `fields`: the values of the form's fields as they are now, by their pointers into what is sent. */
export function useFaults(error: unknown, fields: Readonly<Record<string, unknown>>): Faults {
  const [refused, setRefused] = useState({ error, fields });
  if (refused.error !== error) setRefused({ error, fields });
  const problem = error ? asProblem(error) : null;
  const said = new Map<string, string[]>();
  const rest = [];
  for (const fault of problem?.faults ?? []) {
    const field = fieldOf(fault, fields);
    if (field === undefined) {
      rest.push(fault);
    } else if (same(fields[field], refused.fields[field])) {
      said.set(field, [...(said.get(field) ?? []), toldAt(fault, field, fields[field])]);
    }
  }
  return {
    at: (field) => said.get(field)?.join(". "),
    rest: problem && rest.length > 0 ? problem.about(rest) : null,
    refusal: error,
  };
}
