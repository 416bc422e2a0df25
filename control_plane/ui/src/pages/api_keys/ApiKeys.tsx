import { Button, Menu, SegmentedControl } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { useKeys } from "@/app/keys";
import { lists, useChanged, useExample, useGatewayUrl } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import { CodeTabs, callSnippets } from "@/components/CodeTabs";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog, SecretDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { ListView } from "@/components/ListView";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { State } from "@/components/State";
import { useTraffic, withTraffic } from "@/components/traffic";
import { Moment, When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { ApiKeyForm } from "@/pages/api_keys/ApiKeyForm";

type ApiKey = Schemas["ApiKeyView"];

const FIELDS = [
  { name: "name", description: "part of the name" },
  { name: "tail", description: "last four characters" },
  { name: "state", description: "state", values: ["active", "expired", "revoked"] },
  { name: "default_config", description: "slug of the default config" },
];

const COLUMNS: Column<ApiKey>[] = [
  {
    id: "name",
    header: "Name",
    sort: "name",
    width: 160,
    grow: 300,
    cell: (key) => <span className="clip">{key.name}</span>,
  },
  { id: "tail", header: "Key", width: 90, cell: (key) => <span className="mono">gh_…{key.tail}</span> },
  { id: "state", header: "State", width: 100, cell: (key) => <State state={key.state} /> },
  {
    id: "default_config",
    header: "Default config",
    width: 130,
    cell: (key) =>
      key.default_config ? (
        <span className="mono clip">{key.default_config}</span>
      ) : (
        <span className="dim">workspace's</span>
      ),
  },
  {
    id: "models",
    header: "Models",
    width: 120,
    cell: (key) =>
      key.models ? <span className="mono clip">{key.models.join(", ")}</span> : <span className="dim">all</span>,
  },
  {
    id: "scopes",
    header: "Scopes",
    width: 170,
    optional: true,
    cell: (key) => <span className="mono clip">{key.scopes.join(", ")}</span>,
  },
  { id: "expires_at", header: "Expires", width: 100, cell: (key) => <When at={key.expires_at} /> },
  { id: "created_at", header: "Made", sort: "created_at", width: 100, cell: (key) => <When at={key.created_at} /> },
  { id: "id", header: "Id", width: 230, optional: true, cell: (key) => <span className="mono clip">{key.id}</span> },
];

export function ApiKeys() {
  const { workspace } = useWorkspace();
  const [search, change] = useAddress();
  const rights = useRights();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<Schemas["ApiKeyCreated"] | null>(null);
  const [editing, setEditing] = useState<ApiKey | null>(null);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const gatewayUrl = useGatewayUrl();
  const example = useExample(workspace?.id).named;
  const columns = withTraffic(COLUMNS, "expires_at", "api_key", useTraffic("api_key"));
  const may = rights.manages(workspace?.id);
  const filter = onlyFields(search.filter ?? "", "name");
  const table = useRows(
    ["api-keys", workspace?.id],
    lists.apiKeys(workspace?.id ?? ""),
    { filter, sort: search.sort },
    { enabled: workspace !== undefined },
  );
  useKeys("API keys", may ? [{ keys: "c", label: "Make an API key", run: () => setMaking(true) }] : []);
  const wanted = search.filter?.match(/(?:^|\s)state:(active|revoked|expired)(?:\s|$)/)?.[1] ?? "all";
  return (
    <Page
      filling
      title="API keys"
      lead="With one of these your applications call the gateway. A key is shown once, when it is made; revoking works within about a second, everywhere."
      acts={
        may && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setMaking(true)}>
            Make an API key
          </Button>
        )
      }
    >
      <ListView
        label="API keys"
        columns={columns}
        fields={FIELDS}
        placeholder="Name, or state:active default_config:…"
        table={table}
        rowId={(key) => key.id}
        sort="-created_at"
        beside={
          <SegmentedControl
            aria-label="State"
            size="sm"
            value={wanted}
            data={[
              { value: "all", label: "All" },
              { value: "active", label: "Active" },
              { value: "revoked", label: "Revoked" },
            ]}
            onChange={(state) => {
              const rest = (search.filter ?? "").replace(/(^|\s)state:\w+/g, "").trim();
              change({ filter: state === "all" ? rest || undefined : `${rest} state:${state}`.trim() });
            }}
          />
        }
        empty={
          <EmptyState
            title="No API key yet"
            acts={may && <Button onClick={() => setMaking(true)}>Make the first one</Button>}
          >
            Make one for each application: then each can be revoked, limited and counted on its own.
          </EmptyState>
        }
        peek={(open, close) => (
          <PeekPanel
            title={open.name}
            note={<State state={open.state} />}
            onClose={close}
            acts={
              may &&
              open.state !== "revoked" && (
                <Menu position="bottom-end">
                  <Menu.Target>
                    <Button size="compact-sm" variant="default">
                      Change
                    </Button>
                  </Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item onClick={() => setEditing(open)}>Edit</Menu.Item>
                    <Menu.Item color="red" onClick={() => setRevoking(open)}>
                      Revoke…
                    </Menu.Item>
                  </Menu.Dropdown>
                </Menu>
              )
            }
          >
            <KeyDetails apiKey={open} />
            <Section title="Use it">
              <CodeTabs snippets={callSnippets(gatewayUrl, `gh_…${open.tail}`, example)} />
            </Section>
          </PeekPanel>
        )}
      />
      {(making || editing) && workspace && (
        <ApiKeyForm
          workspace={workspace}
          apiKey={editing}
          onClose={() => {
            setMaking(false);
            setEditing(null);
          }}
          onMade={setMade}
        />
      )}
      {made && (
        <SecretDialog
          title={`API key “${made.name}”`}
          secret={made.key}
          label="Copy key"
          note="This is the only time the key is shown: only a hash of it is kept. Store it where your application reads its secrets."
          snippets={callSnippets(gatewayUrl, made.key, example)}
          onClose={() => setMade(null)}
        />
      )}
      {revoking && <Revoke apiKey={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function KeyDetails({ apiKey }: { apiKey: ApiKey }) {
  const rule = (value: boolean | null | undefined) =>
    value === null || value === undefined ? "as the workspace says" : value ? "allowed" : "forbidden";
  return (
    <Facts
      facts={[
        [
          "Key",
          <span key="tail" className="mono">
            gh_…{apiKey.tail}
          </span>,
        ],
        [
          "Id",
          <span key="id" className="mono">
            {apiKey.id}
          </span>,
        ],
        [
          "Scopes",
          <span key="scopes" className="mono">
            {apiKey.scopes.join(", ")}
          </span>,
        ],
        ["Default config", apiKey.default_config ?? "as the workspace says"],
        ["Models", apiKey.models?.join(", ") ?? "all"],
        ["Own provider keys", rule(apiKey.inline.keys)],
        ["Inline configs", rule(apiKey.inline.configs)],
        ["Own hosts", rule(apiKey.inline.hosts)],
        ["Expires", <When key="expires" at={apiKey.expires_at} />],
        ["Revoked", apiKey.revoked_at ? <When key="revoked" at={apiKey.revoked_at} /> : "no"],
        ["Made", <Moment key="made" at={apiKey.created_at} />],
        [
          "Made by",
          <span key="by" className="mono">
            {apiKey.created_by}
          </span>,
        ],
      ]}
    />
  );
}

function Revoke({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const changed = useChanged();
  const revoke = useMutation({
    mutationFn: () =>
      answer(
        api.DELETE("/api/v1/workspaces/{workspace}/api-keys/{api_key}", {
          params: { path: { workspace: apiKey.workspace, api_key: apiKey.id } },
        }),
      ),
    onSuccess: async () => {
      await changed("api-keys");
      tell(`“${apiKey.name}” is revoked. Gateways refuse it from about now on.`);
      onClose();
    },
  });
  return (
    <ConfirmDialog
      title={`Revoke “${apiKey.name}”?`}
      act="Revoke for good"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
    >
      Calls with the key <span className="mono">gh_…{apiKey.tail}</span> get a 401 within about a second, and this
      cannot be undone. To replace it without a gap, make a new key first, move your application over, then revoke this
      one.
    </ConfirmDialog>
  );
}
