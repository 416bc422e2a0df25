import { Button, MultiSelect, SegmentedControl, TextInput } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights } from "@/app/workspace";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog, FormDialog, SecretDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { useFaults } from "@/components/faults";
import { ListView } from "@/components/ListView";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { State } from "@/components/State";
import { Moment, When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { moment } from "@/lib/time";

type AdminKey = Schemas["AdminKeyView"];
type Scope = Schemas["AdminKeyCreate"]["scopes"][number];

const READS = /\.(list|read|view)$/;
/** What an administrator may not do, and so no key of theirs. */
const OWNERS: readonly string[] = ["organisation.update"];

const FIELDS = [
  { name: "name", description: "part of the name" },
  { name: "tail", description: "last four characters" },
  { name: "revoked", values: ["true", "false"] },
];

const state = (key: AdminKey) =>
  key.revoked_at ? "revoked" : key.expires_at && Date.parse(key.expires_at) < Date.now() ? "expired" : "active";

const COLUMNS: Column<AdminKey>[] = [
  {
    id: "name",
    header: "Name",
    sort: "name",
    width: 160,
    grow: 240,
    cell: (key) => <span className="clip">{key.name}</span>,
  },
  { id: "tail", header: "Key", width: 95, cell: (key) => <span className="mono">gha_…{key.tail}</span> },
  { id: "state", header: "State", width: 100, cell: (key) => <State state={state(key)} /> },
  {
    id: "scopes",
    header: "May",
    width: 200,
    grow: 260,
    cell: (key) => (
      <span className="clip">{key.scopes.length > 4 ? `${key.scopes.length} permissions` : key.scopes.join(", ")}</span>
    ),
  },
  { id: "expires_at", header: "Expires", width: 100, cell: (key) => <When at={key.expires_at} /> },
  { id: "created_at", header: "Made", sort: "created_at", width: 100, cell: (key) => <When at={key.created_at} /> },
];

export function AdminKeys() {
  const [search] = useAddress();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<Schemas["AdminKeyCreated"] | null>(null);
  const [revoking, setRevoking] = useState<AdminKey | null>(null);
  const table = useRows(["admin-keys"], lists.adminKeys, {
    filter: onlyFields(search.filter ?? "", "name"),
    sort: search.sort,
  });
  return (
    <Page
      filling
      title="Admin keys"
      lead={
        <>
          For programs that use this control plane's <a href="/api">API</a>: scripts, pipelines, infrastructure as code.
          A key may do at most what its maker may.
        </>
      }
      acts={
        <Button leftSection={<IconPlus size={16} />} onClick={() => setMaking(true)}>
          Make an admin key
        </Button>
      }
    >
      <ListView
        label="Admin keys"
        columns={COLUMNS}
        fields={FIELDS}
        placeholder="Name, or revoked:false"
        table={table}
        rowId={(key) => key.id}
        sort="-created_at"
        empty={<EmptyState title="No admin key yet" acts={<Button onClick={() => setMaking(true)}>Make one</Button>} />}
        peek={(key, close) => (
          <PeekPanel
            title={key.name}
            note={<State state={state(key)} />}
            onClose={close}
            acts={
              !key.revoked_at && (
                <Button size="compact-sm" variant="default" onClick={() => setRevoking(key)}>
                  Revoke…
                </Button>
              )
            }
          >
            <Facts
              facts={[
                [
                  "Key",
                  <span key="tail" className="mono">
                    gha_…{key.tail}
                  </span>,
                ],
                [
                  "Id",
                  <span key="id" className="mono">
                    {key.id}
                  </span>,
                ],
                ["Made", <Moment key="made" at={key.created_at} />],
                [
                  "Made by",
                  <span key="by" className="mono">
                    {key.created_by}
                  </span>,
                ],
                ["Expires", <When key="expires" at={key.expires_at} />],
                ["Revoked", key.revoked_at ? <Moment key="revoked" at={key.revoked_at} /> : "no"],
              ]}
            />
            <Section title={`May (${key.scopes.length})`}>
              <span className="mono">{key.scopes.join(", ")}</span>
            </Section>
          </PeekPanel>
        )}
      />
      {making && <NewKey onClose={() => setMaking(false)} onMade={setMade} />}
      {made && (
        <SecretDialog
          title={`Admin key “${made.name}”`}
          secret={made.key}
          label="Copy key"
          note="This is the only time the key is shown: only a hash of it is kept."
          snippets={[
            {
              name: "curl",
              code: `curl ${location.origin}/api/v1/workspaces \\\n  -H 'Authorization: Bearer ${made.key}'`,
            },
          ]}
          onClose={() => setMade(null)}
        />
      )}
      {revoking && <Revoke adminKey={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function NewKey({ onClose, onMade }: { onClose: () => void; onMade: (made: Schemas["AdminKeyCreated"]) => void }) {
  const changed = useChanged();
  const [name, setName] = useState("");
  const { owner } = useRights();
  const narrow = useMediaQuery("(max-width: 480px)");
  const [kind, setKind] = useState("read");
  const [picked, setPicked] = useState<string[]>([]);
  const [expires, setExpires] = useState("");
  // The API describes itself: which permissions there are stands there and nowhere else.
  const description = useQuery({
    queryKey: ["openapi"],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () =>
      (await fetch("/api/openapi.json")).json() as Promise<{
        components: { schemas: { AdminKeyCreate: { properties: { scopes: { items: { enum: string[] } } } } } };
      }>,
  });
  const known = description.data?.components.schemas.AdminKeyCreate.properties.scopes.items.enum ?? [];
  const all = owner ? known : known.filter((scope) => !OWNERS.includes(scope));
  const reading = all.filter((scope) => READS.test(scope));
  const scopes = kind === "all" ? all : kind === "read" ? reading : picked;
  const make = useMutation({
    mutationFn: () =>
      answer(
        api.POST("/api/v1/admin-keys", {
          body: { name, scopes: scopes as Scope[], expires_at: moment(expires) },
        }),
      ),
    onSuccess: async (made) => {
      await changed("admin-keys");
      onClose();
      onMade(made);
    },
  });
  const faults = useFaults(make.error, {
    "/name": name,
    "/expires_at": expires,
    ...(kind === "some" ? { "/scopes": picked } : {}),
  });
  return (
    <FormDialog
      title="Make an admin key"
      submit="Make the key"
      busy={make.isPending}
      faults={faults}
      onSubmit={() => make.mutate()}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="The program that will use it"
        required
        data-autofocus
        maxLength={200}
        value={name}
        error={faults.at("/name")}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <SegmentedControl
        aria-label="What it may do"
        orientation={narrow ? "vertical" : "horizontal"}
        value={kind}
        onChange={setKind}
        data={[
          { value: "read", label: "Read everything" },
          { value: "all", label: owner ? "Do everything" : "All that you may" },
          { value: "some", label: "Choose" },
        ]}
      />
      {kind === "some" && (
        <MultiSelect
          label="Permissions"
          required
          searchable
          data={all}
          value={picked}
          error={faults.at("/scopes")}
          onChange={setPicked}
          maxDropdownHeight={240}
        />
      )}
      <TextInput
        type="datetime-local"
        label="Expires"
        description="Empty: never"
        value={expires}
        error={faults.at("/expires_at")}
        onChange={(event) => setExpires(event.currentTarget.value)}
      />
    </FormDialog>
  );
}

function Revoke({ adminKey, onClose }: { adminKey: AdminKey; onClose: () => void }) {
  const changed = useChanged();
  const revoke = useMutation({
    mutationFn: () =>
      answer(api.DELETE("/api/v1/admin-keys/{admin_key}", { params: { path: { admin_key: adminKey.id } } })),
    onSuccess: async () => {
      await changed("admin-keys");
      onClose();
    },
  });
  return (
    <ConfirmDialog
      title={`Revoke “${adminKey.name}”?`}
      act="Revoke for good"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
    >
      Programs that use the key <span className="mono">gha_…{adminKey.tail}</span> are refused at once.
    </ConfirmDialog>
  );
}
