/** The workspace the screen is about: the address names it, else the one looked at last, else the first. */

import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Schemas } from "@/api/client";
import { sessionQuery, workspacesQuery } from "@/app/queries";
import { useAddress } from "@/app/search";

const REMEMBERED = "gatehouse.workspace";

export type Workspace = Schemas["WorkspaceView"];

interface Here {
  workspace: Workspace | undefined;
  all: Workspace[];
  /** There is none, or none that this person may see; false until that is known. */
  none: boolean;
  choose: (slug: string) => void;
}

export function useWorkspace(): Here {
  const [search, change] = useAddress();
  const { data } = useQuery(workspacesQuery);
  const all = data ?? [];
  const wanted = search.workspace ?? localStorage.getItem(REMEMBERED);
  const workspace = all.find((one) => one.slug === wanted) ?? all[0];
  const named = workspace?.slug === search.workspace ? search.workspace : undefined;
  // Once it is looked at: whoever is asked whether to leave may stay.
  useEffect(() => {
    if (named) localStorage.setItem(REMEMBERED, named);
  }, [named]);
  return {
    workspace,
    all,
    none: data?.length === 0,
    choose: (slug) => change({ workspace: slug, open: undefined, filter: undefined }, true),
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
