import {
  ActionIcon,
  Button,
  Group,
  Input,
  Menu,
  MultiSelect,
  SegmentedControl,
  Select,
  Stack,
  Switch,
  Tabs,
  TagsInput,
  TextInput,
} from "@mantine/core";
import { IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { misfilled } from "@/api/problem";
import { lists, useChanged, useChoices } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useUnsaved } from "@/app/unsaved";
import { useRights, useSession } from "@/app/workspace";
import { Clash, from, isClash, isLater } from "@/components/Clash";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog, FormDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Section } from "@/components/Facts";
import { Form } from "@/components/Form";
import { useFaults } from "@/components/faults";
import { ListView } from "@/components/ListView";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { changes, same } from "@/lib/changes";
import { step } from "@/lib/faults";
import { onlyFields } from "@/lib/filter";
import { RoleClash } from "@/pages/people/RoleClash";

type Workspace = Schemas["WorkspaceView"];
type Member = Schemas["WorkspaceMemberView"];

export function WorkspacePage() {
  const { workspace: id = "" } = useParams({ strict: false }) as { workspace?: string };
  const [search, change] = useAddress();
  const rights = useRights();
  const session = useSession();
  const [deleting, setDeleting] = useState(false);
  const found = useQuery({
    queryKey: ["workspaces", "one", id],
    queryFn: () => answer(api.GET("/api/v1/workspaces/{workspace}", { params: { path: { workspace: id } } })),
  });
  const workspace = found.data;
  if (!workspace)
    return (
      <Page title="Workspace">
        {found.error ? <ProblemNote error={found.error} retry={() => void found.refetch()} /> : null}
      </Page>
    );
  const heads = rights.admin || session?.workspaces[id] === "admin";
  const tab = search.tab ?? "settings";
  return (
    <Page
      filling={tab === "members"}
      title={workspace.name}
      lead={
        <>
          <Link to="/workspaces">Workspaces</Link> · <span className="mono">{workspace.id}</span>
        </>
      }
      acts={
        rights.admin && (
          <Menu position="bottom-end">
            <Menu.Target>
              <Button variant="default">More</Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item color="red" onClick={() => setDeleting(true)}>
                Delete…
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )
      }
    >
      <Tabs
        value={tab}
        onChange={(next) =>
          change({ tab: next === "settings" ? undefined : (next ?? undefined), filter: undefined, sort: undefined })
        }
      >
        <Tabs.List>
          <Tabs.Tab value="settings">Settings</Tabs.Tab>
          <Tabs.Tab value="members">Members</Tabs.Tab>
        </Tabs.List>
      </Tabs>
      {tab === "members" ? (
        <Members workspace={workspace} heads={heads} />
      ) : (
        <Settings key={workspace.id} workspace={workspace} heads={heads} />
      )}
      {deleting && <Delete workspace={workspace} onClose={() => setDeleting(false)} />}
    </Page>
  );
}

interface AliasRow {
  name: string;
  virtual_key: string;
  model: string;
}

const aliasAt = (alias: AliasRow) => `/settings/model_aliases/${step(alias.name)}`;

/** Of a name that stands twice one would be lost. */
function aliasesOf(rows: readonly AliasRow[]): Record<string, Omit<AliasRow, "name">> {
  const aliases: Record<string, Omit<AliasRow, "name">> = {};
  for (const { name: written, ...target } of rows) {
    const name = written.trim();
    if (!name && !target.virtual_key && !target.model) continue;
    if (Object.hasOwn(aliases, name))
      throw misfilled(aliasAt({ name: written, ...target }), "this alias stands here twice");
    aliases[name] = target;
  }
  return aliases;
}

/** What the form began with stays while it is edited, whoever saves meanwhile; then it begins anew. */
function Settings({ workspace, heads }: { workspace: Workspace; heads: boolean }) {
  const [began, setBegan] = useState(workspace);
  return <SettingsForm key={began.updated_at} workspace={began} newest={workspace} heads={heads} onBegin={setBegan} />;
}

interface SettingsFormProps {
  workspace: Workspace;
  newest: Workspace;
  heads: boolean;
  onBegin: (workspace: Workspace) => void;
}

function SettingsForm({ workspace, newest, heads, onBegin }: SettingsFormProps) {
  const changed = useChanged();
  const settings = workspace.settings;
  const [name, setName] = useState(workspace.name);
  const [slug, setSlug] = useState(workspace.slug);
  const [config, setConfig] = useState(settings.default_config ?? "");
  const [providers, setProviders] = useState<string[]>([...(settings.allowed_providers ?? [])]);
  const [inline, setInline] = useState({ keys: true, configs: true, hosts: true, ...settings.inline });
  const [metadata, setMetadata] = useState<string[]>([...(settings.metadata_keys ?? [])]);
  const [mode, setMode] = useState<string>(settings.record_mode ?? "standard");
  const [aliases, setAliases] = useState<AliasRow[]>(
    Object.entries(settings.model_aliases ?? {}).map(([alias, target]) => ({ name: alias, ...target })),
  );
  const configs = useChoices(["configs", workspace.id], lists.configs(workspace.id));
  const known = useChoices(["providers"], lists.providers);
  const keys = useChoices(["virtual-keys", workspace.id], lists.virtualKeys(workspace.id));
  const edited = {
    names: { name, slug },
    settings: {
      default_config: config || null,
      allowed_providers: providers.length > 0 ? providers : null,
      inline,
      metadata_keys: metadata,
      record_mode: mode as "standard" | "anonymous",
    },
    aliases,
  };
  const [first] = useState(edited);
  const dirty = !same(first, edited);
  useUnsaved(dirty, "tab");
  useEffect(() => {
    if (!dirty && isLater(newest, workspace)) onBegin(newest);
  }, [dirty, newest, workspace, onBegin]);
  const save = useMutation({
    mutationFn: async (over: Workspace | undefined) => {
      const began = over ?? workspace;
      const given = {
        ...changes(first.settings, edited.settings),
        ...(same(first.aliases, aliases) ? {} : { model_aliases: aliasesOf(aliases) }),
      };
      return answer(
        api.PATCH("/api/v1/workspaces/{workspace}", {
          params: { path: { workspace: workspace.id }, header: from(began) },
          body: {
            ...changes(first.names, edited.names),
            ...(Object.keys(given).length > 0 ? { settings: { ...began.settings, ...given } } : {}),
          },
        }),
      );
    },
    onSuccess: async (saved) => {
      await changed("workspaces");
      onBegin(saved);
      tell("Saved. Gateways have it in about a second.");
    },
  });
  const setAlias = (index: number, patch: Partial<AliasRow>) =>
    setAliases(aliases.map((alias, at) => (at === index ? { ...alias, ...patch } : alias)));
  const faults = useFaults(save.error, {
    "/name": name,
    "/slug": slug,
    "/settings/default_config": config,
    "/settings/allowed_providers": providers,
    "/settings/metadata_keys": metadata,
    "/settings/model_aliases": aliases.length,
    ...Object.fromEntries(
      aliases.flatMap((alias) => [
        [aliasAt(alias), alias],
        [`${aliasAt(alias)}/virtual_key`, alias.virtual_key],
        [`${aliasAt(alias)}/model`, alias.model],
      ]),
    ),
  });
  return (
    <Form faults={faults} busy={save.isPending} onSubmit={() => save.mutate(undefined)}>
      <fieldset disabled={!heads} style={{ border: 0, margin: 0, padding: 0 }}>
        <Stack gap="xl" maw={640}>
          <Section title="Name">
            <Group grow align="flex-start">
              <TextInput
                label="Name"
                required
                maxLength={200}
                value={name}
                error={faults.at("/name")}
                onChange={(event) => setName(event.currentTarget.value)}
              />
              <TextInput
                label="Slug"
                required
                maxLength={100}
                value={slug}
                error={faults.at("/slug")}
                onChange={(event) => setSlug(event.currentTarget.value)}
              />
            </Group>
          </Section>
          <Section title="Where calls go">
            <Select
              label="Default config"
              description="For calls that name no target, with keys that have no default of their own"
              disabled={!heads}
              data={[
                { value: "", label: "None" },
                ...configs.map((one) => ({ value: one.slug, label: `${one.name} (${one.slug})` })),
              ]}
              value={config}
              error={faults.at("/settings/default_config")}
              onChange={(next) => setConfig(next ?? "")}
            />
            <MultiSelect
              label="Providers"
              description="Empty: all"
              searchable
              disabled={!heads}
              placeholder={providers.length ? "" : "All"}
              data={known.map((one) => ({ value: one.id, label: one.name }))}
              value={providers}
              error={faults.at("/settings/allowed_providers")}
              onChange={setProviders}
            />
            <div>
              <div className="dim" style={{ fontSize: 13, marginBottom: 6 }}>
                Model aliases: names that callers use, and what stands behind each
              </div>
              <Stack gap={6}>
                {aliases.map((alias, index) => (
                  <Group key={index} gap={6} wrap="nowrap" align="flex-start">
                    <TextInput
                      aria-label="Alias"
                      placeholder="fast"
                      value={alias.name}
                      error={faults.at(aliasAt(alias))}
                      onChange={(event) => setAlias(index, { name: event.currentTarget.value })}
                    />
                    <Select
                      aria-label="Virtual key"
                      placeholder="virtual key"
                      data={keys.map((key) => key.slug)}
                      value={alias.virtual_key || null}
                      error={faults.at(`${aliasAt(alias)}/virtual_key`)}
                      onChange={(slug_) => setAlias(index, { virtual_key: slug_ ?? "" })}
                    />
                    <TextInput
                      aria-label="Model"
                      placeholder="gpt-4o-mini"
                      value={alias.model}
                      error={faults.at(`${aliasAt(alias)}/model`)}
                      onChange={(event) => setAlias(index, { model: event.currentTarget.value })}
                    />
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      aria-label="Remove alias"
                      onClick={() => setAliases(aliases.filter((_, at) => at !== index))}
                    >
                      <IconTrash size={16} />
                    </ActionIcon>
                  </Group>
                ))}
                {faults.at("/settings/model_aliases") && (
                  <Input.Error role="alert" data-error="true">
                    {faults.at("/settings/model_aliases")}
                  </Input.Error>
                )}
                <Button
                  variant="default"
                  size="xs"
                  w="fit-content"
                  onClick={() => setAliases([...aliases, { name: "", virtual_key: "", model: "" }])}
                >
                  Add an alias
                </Button>
              </Stack>
            </div>
          </Section>
          <Section title="What calls may bring along">
            <Switch
              label="A provider's key of their own"
              checked={inline.keys}
              onChange={(event) => setInline({ ...inline, keys: event.currentTarget.checked })}
            />
            <Switch
              label="An inline config"
              checked={inline.configs}
              onChange={(event) => setInline({ ...inline, configs: event.currentTarget.checked })}
            />
            <Switch
              label="A host of their own"
              checked={inline.hosts}
              onChange={(event) => setInline({ ...inline, hosts: event.currentTarget.checked })}
            />
          </Section>
          <Section title="What is told about calls">
            <div>
              <SegmentedControl
                aria-label="How much is told"
                disabled={!heads}
                value={mode}
                onChange={setMode}
                data={[
                  { value: "standard", label: "Standard" },
                  { value: "anonymous", label: "Anonymous" },
                ]}
              />
              <p className="dim" style={{ fontSize: 12.5, margin: "6px 0 0" }}>
                Never what was asked or answered. Anonymous leaves out what points at people or keys.
              </p>
            </div>
            <TagsInput
              label="Metadata that may leave with the record"
              description="Names of request metadata, team or feature, say; the values of others stay in your network"
              value={metadata}
              error={faults.at("/settings/metadata_keys")}
              onChange={setMetadata}
            />
          </Section>
          {!isClash(save.error) && <ProblemNote error={faults.rest} />}
          <Clash
            error={save.error}
            began={save.variables ?? workspace}
            fields={["name", "slug", "settings"]}
            busy={save.isPending}
            read={() =>
              answer(api.GET("/api/v1/workspaces/{workspace}", { params: { path: { workspace: workspace.id } } }))
            }
            onKeep={(now) => save.mutate(now)}
            onDiscard={onBegin}
          />
          {heads && (
            <Button type="submit" w="fit-content" loading={save.isPending}>
              Save
            </Button>
          )}
        </Stack>
      </fieldset>
    </Form>
  );
}

const FIELDS = [
  { name: "email", description: "part of the address" },
  { name: "name", description: "part of the name" },
  { name: "role", values: ["admin", "manager", "member"] },
];
const ROLES = [
  { value: "admin", label: "Admin" },
  { value: "manager", label: "Manager" },
  { value: "member", label: "Member" },
];
type Role = Schemas["WorkspaceRole"];

function Members({ workspace, heads }: { workspace: Workspace; heads: boolean }) {
  const [search] = useAddress();
  const rights = useRights();
  const changed = useChanged();
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Member | null>(null);
  const table = useRows(["workspace-members", workspace.id], lists.workspaceMembers(workspace.id), {
    filter: onlyFields(search.filter ?? "", "email"),
    sort: search.sort,
  });
  const path = { workspace: workspace.id };
  const give = useMutation({
    mutationFn: ({ member, role }: { member: Member; role: Role }) =>
      answer(
        api.PUT("/api/v1/workspaces/{workspace}/members/{member}", {
          params: { path: { ...path, member: member.id }, header: from(member) },
          body: { role },
        }),
      ),
    onSuccess: () => changed("workspace-members"),
    onError: (error) => isClash(error) && changed("workspace-members"),
  });
  const remove = useMutation({
    mutationFn: (member: string) =>
      answer(api.DELETE("/api/v1/workspaces/{workspace}/members/{member}", { params: { path: { ...path, member } } })),
    onSuccess: async () => {
      await changed("workspace-members");
      setRemoving(null);
    },
  });
  const columns: Column<Member>[] = [
    {
      id: "name",
      header: "Name",
      sort: "name",
      width: 160,
      grow: 200,
      cell: (one) => <span className="clip">{one.name}</span>,
    },
    {
      id: "email",
      header: "E-mail",
      sort: "email",
      width: 200,
      grow: 260,
      cell: (one) => <span className="clip">{one.email}</span>,
    },
    {
      id: "role",
      header: "Role here",
      sort: "role",
      width: 150,
      cell: (one) =>
        heads ? (
          <Select
            size="xs"
            aria-label={`Role of ${one.name}`}
            data={ROLES}
            value={one.role}
            onChange={(role) => role && role !== one.role && give.mutate({ member: one, role: role as Role })}
          />
        ) : (
          one.role
        ),
    },
    ...(heads
      ? [
          {
            id: "acts",
            header: "",
            width: 100,
            cell: (one: Member) => (
              <Button size="compact-xs" variant="default" onClick={() => setRemoving(one)}>
                Take out
              </Button>
            ),
          },
        ]
      : []),
  ];
  return (
    <>
      <RoleClash
        give={give}
        read={(member) =>
          answer(api.GET("/api/v1/workspaces/{workspace}/members/{member}", { params: { path: { ...path, member } } }))
        }
      />
      <ListView
        label="Members of the workspace"
        columns={columns}
        fields={FIELDS}
        placeholder="E-mail address, or role:…"
        table={table}
        rowId={(one) => one.id}
        sort="email"
        beside={heads && rights.admin ? <Button onClick={() => setAdding(true)}>Add a member</Button> : undefined}
        empty={
          <EmptyState title="Nobody has a role here">
            Owners and administrators of the organisation see every workspace; others need a role.
          </EmptyState>
        }
      />
      {adding && <AddMember workspace={workspace.id} onClose={() => setAdding(false)} />}
      {removing && (
        <ConfirmDialog
          title={`Take ${removing.name} out?`}
          act="Take out"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate(removing.id)}
          onClose={() => setRemoving(null)}
        >
          They see nothing of this workspace any more. Keys they made go on working.
        </ConfirmDialog>
      )}
    </>
  );
}

function AddMember({ workspace, onClose }: { workspace: string; onClose: () => void }) {
  const changed = useChanged();
  const everybody = useChoices(["members"], lists.members);
  const there = useChoices(["workspace-members", workspace], lists.workspaceMembers(workspace));
  const members = everybody.filter((one) => !there.some((other) => other.id === one.id));
  const [member, setMember] = useState<string | null>(null);
  const [role, setRole] = useState<Role>("member");
  const give = useMutation({
    mutationFn: async () => {
      try {
        return await answer(
          api.PUT("/api/v1/workspaces/{workspace}/members/{member}", {
            params: { path: { workspace, member: member ?? "" }, header: { "if-none-match": "*" } },
            body: { role },
          }),
        );
      } catch (error) {
        if (!isClash(error)) throw error;
        await changed("workspace-members");
        throw misfilled("/member", "they have a role here by now; the list says which");
      }
    },
    onSuccess: async () => {
      await changed("workspace-members");
      onClose();
    },
  });
  const faults = useFaults(give.error, { "/member": member });
  return (
    <FormDialog
      title="Add a member"
      submit="Give the role"
      busy={give.isPending}
      faults={faults}
      onSubmit={() => member && give.mutate()}
      onClose={onClose}
    >
      <Select
        label="Member"
        description="Of your organisation, without a role here yet; invite others on the page Members"
        nothingFoundMessage="Nobody else"
        required
        searchable
        data-autofocus
        data={members.map((one) => ({ value: one.id, label: `${one.name} · ${one.email}` }))}
        value={member}
        error={faults.at("/member")}
        onChange={setMember}
      />
      <Select label="Role" data={ROLES} value={role} onChange={(next) => setRole((next ?? "member") as Role)} />
    </FormDialog>
  );
}

function Delete({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) {
  const navigate = useNavigate();
  const changed = useChanged();
  const remove = useMutation({
    mutationFn: () =>
      answer(api.DELETE("/api/v1/workspaces/{workspace}", { params: { path: { workspace: workspace.id } } })),
    onSuccess: async () => {
      await navigate({ to: "/workspaces", search: {}, ignoreBlocker: true });
      await changed("workspaces");
    },
  });
  return (
    <ConfirmDialog
      title={`Delete “${workspace.name}”?`}
      act="Delete"
      typed={workspace.slug}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Only an empty workspace can be deleted: its keys, virtual keys and configs first.
    </ConfirmDialog>
  );
}
