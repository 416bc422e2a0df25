/** The API as generated types; every refusal is thrown as a Problem. */

import createClient from "openapi-fetch";
import { refused, unreachable } from "@/api/problem";
import type { components, paths } from "@/api/schema";

export type Schemas = components["schemas"];

const REQUEST_ID = "x-gatehouse-request-id";
const CSRF = "x-gatehouse-csrf";
const SAFE = new Set(["GET", "HEAD"]);

let csrfToken = "";

/** From now on sent with everything that changes something. */
export function rememberSession(session: Schemas["SessionView"] | null): void {
  csrfToken = session?.csrf_token ?? "";
}

export const api = createClient<paths>({
  fetch: async (request) => {
    if (!SAFE.has(request.method) && csrfToken) request.headers.set(CSRF, csrfToken);
    try {
      return await fetch(request);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw unreachable();
    }
  },
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What a call answers. Throws Problem. */
export async function answer<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw refused(response.status, error, response.headers.get(REQUEST_ID));
  return data as T;
}
