import { Button, Menu } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { useKeys } from "@/app/keys";
import { lists, useChanged, useChoices, useGatewayUrl, useModelOf } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import { CodeTabs, callSnippets } from "@/components/CodeTabs";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { ListView } from "@/components/ListView";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { useTraffic, withTraffic } from "@/components/traffic";
import { Moment, When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { VirtualKeyForm } from "@/pages/virtual_keys/VirtualKeyForm";

type VirtualKey = Schemas["VirtualKeyView"];

const FIELDS = [
  { name: "name", description: "part of the name" },
  { name: "slug", description: "part of the slug" },
  { name: "provider", description: "id of its provider" },
];

const COLUMNS: Column<VirtualKey>[] = [
  {
    id: "slug",
    header: "Slug",
    sort: "slug",
    width: 150,
    grow: 200,
    cell: (key) => <span className="mono clip">{key.slug}</span>,
  },
  {
    id: "name",
    header: "Name",
    sort: "name",
    width: 150,
    grow: 240,
    cell: (key) => <span className="clip">{key.name}</span>,
  },
  { id: "provider", header: "Provider", width: 120, cell: (key) => <span className="clip">{key.provider}</span> },
  {
    id: "secret",
    header: "Secret",
    width: 110,
    optional: true,
    cell: () => <span className="dim">stored, sealed</span>,
  },
  {
    id: "models",
    header: "Models",
    width: 130,
    grow: 200,
    cell: (key) =>
      key.models ? (
        <span className="mono clip">{key.models.join(", ")}</span>
      ) : (
        <span className="dim">as catalogued</span>
      ),
  },
  {
    id: "base_url",
    header: "Base URL",
    width: 180,
    optional: true,
    cell: (key) =>
      key.base_url ? <span className="mono clip">{key.base_url}</span> : <span className="dim">provider's</span>,
  },
  { id: "updated_at", header: "Changed", width: 100, cell: (key) => <When at={key.updated_at} /> },
  {
    id: "created_at",
    header: "Made",
    sort: "created_at",
    width: 100,
    optional: true,
    cell: (key) => <When at={key.created_at} />,
  },
];

export function VirtualKeys() {
  const { workspace } = useWorkspace();
  const [search] = useAddress();
  const rights = useRights();
  const [form, setForm] = useState<VirtualKey | "new" | null>(null);
  const [deleting, setDeleting] = useState<VirtualKey | null>(null);
  const columns = withTraffic(COLUMNS, "models", "virtual_key", useTraffic("virtual_key"));
  const may = rights.manages(workspace?.id);
  const table = useRows(
    ["virtual-keys", workspace?.id],
    lists.virtualKeys(workspace?.id ?? ""),
    { filter: onlyFields(search.filter ?? "", "name"), sort: search.sort },
    { enabled: workspace !== undefined },
  );
  useKeys("Virtual keys", may ? [{ keys: "c", label: "Add a virtual key", run: () => setForm("new") }] : []);
  return (
    <Page
      filling
      title="Virtual keys"
      lead={
        <>
          Credentials of <Link to="/providers">providers</Link>, stored once and named by a slug. Applications name the
          slug and never see the secret; it travels sealed to your gateways.
        </>
      }
      acts={
        may && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setForm("new")}>
            Add a virtual key
          </Button>
        )
      }
    >
      <ListView
        label="Virtual keys"
        columns={columns}
        fields={FIELDS}
        placeholder="Name, or provider:… slug:…"
        table={table}
        rowId={(key) => key.id}
        sort="-created_at"
        empty={
          <EmptyState
            title="No provider key is stored yet"
            acts={may && <Button onClick={() => setForm("new")}>Add the first one</Button>}
          >
            Choose a provider and paste its key. Models of that provider can be called a second later.
          </EmptyState>
        }
        peek={(open, close) => (
          <PeekPanel
            title={open.name}
            note={<span className="mono">@{open.slug}</span>}
            onClose={close}
            acts={
              may && (
                <Menu position="bottom-end">
                  <Menu.Target>
                    <Button size="compact-sm" variant="default">
                      Change
                    </Button>
                  </Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item onClick={() => setForm(open)}>Edit, or replace the secret</Menu.Item>
                    <Menu.Item color="red" onClick={() => setDeleting(open)}>
                      Delete…
                    </Menu.Item>
                  </Menu.Dropdown>
                </Menu>
              )
            }
          >
            <Facts
              facts={[
                ["Provider", open.provider],
                ["Secret", "stored, sealed; it is never shown again"],
                ["Base URL", open.base_url ?? "the provider's own"],
                ["Models", open.models?.join(", ") ?? "those the catalogue lists for the provider"],
                [
                  "Id",
                  <span key="id" className="mono">
                    {open.id}
                  </span>,
                ],
                ["Made", <Moment key="made" at={open.created_at} />],
                [
                  "Made by",
                  <span key="by" className="mono">
                    {open.created_by}
                  </span>,
                ],
                ["Changed", <Moment key="changed" at={open.updated_at} />],
              ]}
            />
            <Dependents virtualKey={open} />
            <Section title="Use it">
              <Use virtualKey={open} />
            </Section>
          </PeekPanel>
        )}
      />
      {form && workspace && (
        <VirtualKeyForm workspace={workspace} virtualKey={form === "new" ? null : form} onClose={() => setForm(null)} />
      )}
      {deleting && <Delete virtualKey={deleting} onClose={() => setDeleting(null)} />}
    </Page>
  );
}

/** Configs that name it. */
function useDependents(virtualKey: VirtualKey): string[] {
  const configs = useChoices(["configs", virtualKey.workspace], lists.configs(virtualKey.workspace));
  const named = JSON.stringify(virtualKey.slug);
  return configs
    .filter((config) => JSON.stringify(config.body).includes(`"virtual_key":${named}`))
    .map((config) => config.slug);
}

function Dependents({ virtualKey }: { virtualKey: VirtualKey }) {
  const configs = useDependents(virtualKey);
  return (
    <Section title="Named by">
      {configs.length === 0 ? (
        <span className="dim">No config names it. Calls may name it themselves.</span>
      ) : (
        <span>
          {configs.map((slug, index) => (
            <span key={slug}>
              {index > 0 && ", "}
              <Link to="/configs/$config" params={{ config: slug }}>
                {slug}
              </Link>
            </span>
          ))}
        </span>
      )}
    </Section>
  );
}

function Delete({ virtualKey, onClose }: { virtualKey: VirtualKey; onClose: () => void }) {
  const changed = useChanged();
  const [, change] = useAddress();
  const configs = useDependents(virtualKey);
  const remove = useMutation({
    mutationFn: () =>
      answer(
        api.DELETE("/api/v1/workspaces/{workspace}/virtual-keys/{virtual_key}", {
          params: { path: { workspace: virtualKey.workspace, virtual_key: virtualKey.id } },
        }),
      ),
    onSuccess: async () => {
      change({ open: undefined });
      await changed("virtual-keys");
      tell(`“${virtualKey.slug}” is deleted`);
      onClose();
    },
  });
  return (
    <ConfirmDialog
      title={`Delete “${virtualKey.slug}”?`}
      act="Delete"
      typed={virtualKey.slug}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      The stored secret is gone for good, and calls that name <span className="mono">@{virtualKey.slug}</span> fail.{" "}
      {configs.length > 0
        ? `These configs name it and must let go of it first: ${configs.join(", ")}.`
        : "No config names it."}
    </ConfirmDialog>
  );
}

function Use({ virtualKey }: { virtualKey: VirtualKey }) {
  const gatewayUrl = useGatewayUrl();
  const model = useModelOf(virtualKey);
  return <CodeTabs snippets={callSnippets(gatewayUrl, "gh_…", `@${virtualKey.slug}/${model}`)} />;
}
