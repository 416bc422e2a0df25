/** The workspace the screen is about: the address names it, else the one looked at last, else the first. */

import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "@/api/client";
import { sessionQuery, workspacesQuery } from "@/app/queries";
import { useAddress } from "@/app/search";

const REMEMBERED = "gatehouse.workspace";

export type Workspace = Schemas["WorkspaceView"];

export function useWorkspace(): { workspace: Workspace | undefined; all: Workspace[]; choose: (slug: string) => void } {
  const [search, change] = useAddress();
  const all = useQuery(workspacesQuery).data ?? [];
  const wanted = search.workspace ?? localStorage.getItem(REMEMBERED);
  const workspace = all.find((one) => one.slug === wanted) ?? all[0];
  return {
    workspace,
    all,
    choose: (slug) => {
      localStorage.setItem(REMEMBERED, slug);
      change({ workspace: slug, open: undefined, filter: undefined }, true);
    },
  };
}

export function useSession(): Schemas["SessionView"] | null {
  return useQuery(sessionQuery).data ?? null;
}

/** What the roles allow, for what is offered; the API judges what is done. */
export function useRights(): { admin: boolean; owner: boolean; manages: (workspace: string | undefined) => boolean } {
  const session = useSession();
  const role = session?.organisation.role;
  const admin = role === "owner" || role === "admin";
  return {
    admin,
    owner: role === "owner",
    manages: (workspace) => {
      const there = workspace === undefined ? undefined : session?.workspaces[workspace];
      return admin || there === "admin" || there === "manager";
    },
  };
}
