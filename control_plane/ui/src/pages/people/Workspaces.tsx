import { Button, TextInput } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights } from "@/app/workspace";
import type { Column } from "@/components/DataTable";
import { FormDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { useFaults } from "@/components/faults";
import { ListView } from "@/components/ListView";
import { Page } from "@/components/Page";
import { When } from "@/components/When";
import { onlyFields } from "@/lib/filter";

type Workspace = Schemas["WorkspaceView"];

const FIELDS = [
  { name: "name", description: "part of the name" },
  { name: "slug", description: "part of the slug" },
];

const COLUMNS: Column<Workspace>[] = [
  {
    id: "name",
    header: "Name",
    sort: "name",
    width: 160,
    grow: 240,
    cell: (one) => <span className="clip">{one.name}</span>,
  },
  {
    id: "slug",
    header: "Slug",
    sort: "slug",
    width: 140,
    cell: (one) => <span className="mono clip">{one.slug}</span>,
  },
  {
    id: "default_config",
    header: "Default config",
    width: 130,
    cell: (one) =>
      one.settings.default_config ? (
        <span className="mono clip">{one.settings.default_config}</span>
      ) : (
        <span className="dim">none</span>
      ),
  },
  {
    id: "providers",
    header: "Providers",
    width: 140,
    cell: (one) =>
      one.settings.allowed_providers ? (
        <span className="clip">{one.settings.allowed_providers.join(", ")}</span>
      ) : (
        <span className="dim">all</span>
      ),
  },
  { id: "updated_at", header: "Changed", sort: "updated_at", width: 100, cell: (one) => <When at={one.updated_at} /> },
  { id: "id", header: "Id", width: 230, optional: true, cell: (one) => <span className="mono clip">{one.id}</span> },
];

export function Workspaces() {
  const [search] = useAddress();
  const { admin } = useRights();
  const navigate = useNavigate();
  const [making, setMaking] = useState(false);
  const table = useRows(["workspaces"], lists.workspaces, {
    filter: onlyFields(search.filter ?? "", "name"),
    sort: search.sort,
  });
  const open = (id: string) =>
    void navigate({
      to: "/workspaces/$workspace",
      params: { workspace: id },
      search: { workspace: search.workspace } as never,
    });
  return (
    <Page
      filling
      title="Workspaces"
      lead="Keys, configs and virtual keys live in a workspace, and its members see that workspace alone."
      acts={
        admin && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setMaking(true)}>
            Make a workspace
          </Button>
        )
      }
    >
      <ListView
        label="Workspaces"
        columns={COLUMNS}
        fields={FIELDS}
        placeholder="Name, or slug:…"
        table={table}
        rowId={(one) => one.id}
        sort="-created_at"
        onOpen={open}
        empty={
          <EmptyState
            title={admin ? "No workspace yet" : "No workspace you may see"}
            acts={admin && <Button onClick={() => setMaking(true)}>Make one</Button>}
          >
            {admin ? "Make one for each team or product." : "Ask an administrator to give you a role in one."}
          </EmptyState>
        }
      />
      {making && <NewWorkspace onClose={() => setMaking(false)} onMade={open} />}
    </Page>
  );
}

function NewWorkspace({ onClose, onMade }: { onClose: () => void; onMade: (id: string) => void }) {
  const changed = useChanged();
  const [slug, setSlug] = useState("");
  const [name, setName] = useState("");
  const make = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/workspaces", { body: { slug, name, settings: undefined as never } })),
    onSuccess: async (made) => {
      await changed("workspaces");
      onClose();
      onMade(made.id);
    },
  });
  const faults = useFaults(make.error, { "/slug": slug, "/name": name });
  return (
    <FormDialog
      title="Make a workspace"
      submit="Make it"
      busy={make.isPending}
      faults={faults}
      onSubmit={() => make.mutate()}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        required
        data-autofocus
        maxLength={200}
        value={name}
        error={faults.at("/name")}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <TextInput
        label="Slug"
        description="Stands in addresses"
        required
        maxLength={100}
        value={slug}
        error={faults.at("/slug")}
        onChange={(event) => setSlug(event.currentTarget.value)}
      />
    </FormDialog>
  );
}
