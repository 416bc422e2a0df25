/** Whatever goes wrong between the panel and the API, as one type. */

import type { components } from "@/api/schema";
import type { Fault } from "@/lib/faults";

type Document = components["schemas"]["ProblemDocument"];

export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  /** JSON pointer into what was sent; null where no place is to blame. */
  readonly pointer: string | null;
  readonly requestId: string | null;
  /** Every place that is told to be wrong; one without a pointer where none is. */
  readonly faults: readonly Fault[];

  constructor(
    status: number,
    code: string,
    detail: string,
    pointer: string | null,
    requestId: string | null,
    faults?: readonly Fault[],
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.pointer = pointer;
    this.requestId = requestId;
    this.faults = faults ?? [{ pointer: pointer ?? "", message: detail }];
  }

  /** The same refusal, about some of its places. */
  about(faults: readonly Fault[]): Problem {
    const [first] = faults;
    const told = faults.map((fault) => fault.message).join("; ");
    return new Problem(this.status, this.code, told, first?.pointer ?? null, this.requestId, faults);
  }
}

/** What a refused answer says; never throws for a strange one (a proxy's page, say). */
export function refused(status: number, body: unknown, requestId: string | null): Problem {
  const document = (typeof body === "object" && body !== null ? body : {}) as Partial<Document>;
  const detail = document.detail ?? `the server answered ${status}`;
  return new Problem(
    status,
    document.code ?? "unknown",
    detail,
    document.pointer ?? null,
    document.request_id ?? requestId,
    document.errors?.map((fault) => ({ pointer: fault.pointer, message: fault.detail })),
  );
}

/** What the form itself sees to be wrong; nothing was sent. */
export function misfilled(pointer: string, detail: string): Problem {
  return new Problem(0, "invalid", detail, pointer, null);
}

export function unreachable(): Problem {
  const detail = "the control plane cannot be reached; gateways go on serving what they have";
  return new Problem(0, "unreachable", detail, null, null);
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "panel_fault", error instanceof Error ? error.message : String(error), null, null);
}

const ADVICE: Record<string, string> = {
  unreachable: "Check that the control plane runs and that this address is right; the panel tries again by itself.",
  unauthenticated: "Log in again.",
  session_ended: "Log in again.",
  forbidden: "Ask an administrator of your organisation for it.",
  csrf: "Reload the page: your session was renewed in another window.",
  too_many_requests: "Wait a while, then try again.",
  internal_error: "Try again. If it stays, give the request id to whoever runs the control plane.",
  unavailable: "A store of the control plane is away. Gateways go on serving; edits wait until it is back.",
  database_unavailable: "The database is away. Gateways go on serving; edits wait until it is back.",
  panel_fault: "Reload the page. If it stays, tell whoever runs the control plane what you did.",
};

/** What to do about it, if there is something general to say. */
export function advice(problem: Problem): string | null {
  return ADVICE[problem.code] ?? null;
}
