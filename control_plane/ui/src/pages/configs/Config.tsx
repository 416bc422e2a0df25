import { Button, Group, Menu, Tabs, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { asProblem } from "@/api/problem";
import { useKeys } from "@/app/keys";
import { lists, useChanged, useChoices, useExample, useGatewayUrl } from "@/app/nouns";
import { useAddress } from "@/app/search";
import { useUnsaved } from "@/app/unsaved";
import { useRights, useWorkspace } from "@/app/workspace";
import { Clash, from, isClash, isLater } from "@/components/Clash";
import { CodeTabs, callSnippets } from "@/components/CodeTabs";
import { ConfirmDialog } from "@/components/Dialog";
import { Facts, Section } from "@/components/Facts";
import { useFaults } from "@/components/faults";
import { JsonEditor } from "@/components/JsonEditor";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { Moment } from "@/components/When";
import { changes } from "@/lib/changes";
import type { Fault } from "@/lib/faults";
import { type Schema, written } from "@/lib/json";
import { Changes } from "@/pages/configs/Changes";
import styles from "@/pages/configs/Config.module.css";

type ConfigRow = Schemas["ConfigView"];

export function Config() {
  const { config: slug = "" } = useParams({ strict: false }) as { config?: string };
  const { workspace } = useWorkspace();
  const found = useQuery({
    queryKey: ["configs", workspace?.id, "one", slug],
    enabled: workspace !== undefined,
    queryFn: () =>
      answer(
        api.GET("/api/v1/workspaces/{workspace}/configs/{config}", {
          params: { path: { workspace: workspace?.id ?? "", config: slug } },
        }),
      ),
  });
  if (found.error) {
    return (
      <Page title={slug} lead={<Link to="/configs">Configs</Link>}>
        <ProblemNote error={found.error} retry={() => void found.refetch()} />
      </Page>
    );
  }
  return found.data ? <Editing key={found.data.id} config={found.data} /> : <Page title={slug}>{null}</Page>;
}

const EDITOR_PX_MIN = 440;
/** What stands above and below of the editor. */
const AROUND_PX = 270;

const BODY = "/body";
const NONE: readonly Fault[] = [];

/** By their pointers into the edited text. */
function faultsInBody(error: unknown): readonly Fault[] {
  return asProblem(error)
    .faults.filter((fault) => fault.pointer.startsWith(BODY))
    .map((fault) => ({ ...fault, pointer: fault.pointer.slice(BODY.length) }));
}

function Editing({ config }: { config: ConfigRow }) {
  const [search, change] = useAddress();
  const navigate = useNavigate();
  const rights = useRights();
  const changed = useChanged();
  const gatewayUrl = useGatewayUrl();
  const example = useExample(config.workspace).model;
  const [began, setBegan] = useState(config);
  const [text, setText] = useState(written(config.body));
  const [slug, setSlug] = useState(config.slug);
  const [name, setName] = useState(config.name);
  const [deleting, setDeleting] = useState(false);
  const [parseFault, setParseFault] = useState<string | null>(null);
  const may = rights.manages(config.workspace);
  const keys = useChoices(["virtual-keys", config.workspace], lists.virtualKeys(config.workspace)).map(
    (key) => key.slug,
  );
  const providers = useChoices(["providers"], lists.providers).map((one) => one.id);
  const schema = useQuery({
    queryKey: ["config-schema"],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () =>
      answer(
        api.GET("/api/v1/workspaces/{workspace}/config-schema", { params: { path: { workspace: config.workspace } } }),
      ),
  });
  const dirty = text !== written(began.body) || slug !== began.slug || name !== began.name;
  const begin = useCallback((row: ConfigRow) => {
    setBegan(row);
    setText(written(row.body));
    setSlug(row.slug);
    setName(row.name);
  }, []);
  useEffect(() => {
    if (!dirty && isLater(config, began)) begin(config);
  }, [dirty, config, began, begin]);
  useUnsaved(dirty, "workspace");
  const save = useMutation({
    mutationFn: ({ body, over }: { body: Record<string, unknown>; over: ConfigRow }) =>
      answer(
        api.PATCH("/api/v1/workspaces/{workspace}/configs/{config}", {
          params: { path: { workspace: config.workspace, config: config.id }, header: from(over) },
          body: changes({ body: began.body, slug: began.slug, name: began.name }, { body, slug, name }),
        }),
      ),
    onSuccess: async (saved) => {
      begin(saved);
      await changed("configs");
      tell("Saved. Gateways have it in about a second.");
      if (saved.slug !== config.slug)
        await navigate({
          to: "/configs/$config",
          params: { config: saved.slug },
          search: { workspace: search.workspace } as never,
          replace: true,
        });
    },
  });
  const { reset } = save;
  useEffect(() => {
    if (save.isSuccess && dirty) reset();
  }, [save.isSuccess, dirty, reset]);
  const submit = (over: ConfigRow) => {
    if (!may || save.isPending) return;
    try {
      setParseFault(null);
      save.mutate({ body: JSON.parse(text), over });
    } catch (error) {
      setParseFault(error instanceof Error ? error.message : String(error));
    }
  };
  useKeys("Config", [
    { keys: "e", label: "Edit", run: () => document.querySelector<HTMLElement>(".cm-content")?.focus() },
  ]);
  const faults = useFaults(save.error, { "/slug": slug, "/name": name, [BODY]: text });
  const unedited = faults.at(BODY) !== undefined;
  const inBody = useMemo(() => (unedited ? faultsInBody(save.error) : NONE), [unedited, save.error]);
  const tab = search.tab ?? "edit";
  return (
    <Page
      title={config.name}
      lead={
        <>
          <Link to="/configs" search={{ workspace: search.workspace } as never}>
            Configs
          </Link>{" "}
          · <span className="mono">{config.slug}</span>
        </>
      }
      acts={
        may && (
          <Group gap="xs">
            {dirty && <span className="dim">Not saved yet</span>}
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
            <Button onClick={() => submit(began)} loading={save.isPending} disabled={!dirty}>
              Save
            </Button>
          </Group>
        )
      }
    >
      <Tabs
        value={tab}
        onChange={(next) => change({ tab: next === "edit" ? undefined : (next ?? undefined) })}
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="edit">Config</Tabs.Tab>
          {rights.admin && <Tabs.Tab value="changes">Changes</Tabs.Tab>}
          <Tabs.Tab value="use">Use it</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="edit" pt="md">
          <div className={styles.split}>
            <div className={styles.editor}>
              <JsonEditor
                label="Config as JSON"
                value={text}
                onChange={may ? setText : undefined}
                onSave={() => submit(began)}
                schema={schema.data?.json_schema as Schema | undefined}
                known={{ virtual_key: keys, provider: providers }}
                faults={inBody}
                heightPx={Math.max(EDITOR_PX_MIN, window.innerHeight - AROUND_PX)}
              />
              {parseFault && <p className="bad">This is no JSON yet: {parseFault}</p>}
              <Clash
                error={save.error}
                began={save.variables?.over ?? began}
                fields={["slug", "name", "body"]}
                busy={save.isPending}
                read={() =>
                  answer(
                    api.GET("/api/v1/workspaces/{workspace}/configs/{config}", {
                      params: { path: { workspace: config.workspace, config: config.id } },
                    }),
                  )
                }
                onKeep={submit}
                onDiscard={(now) => {
                  save.reset();
                  begin(now);
                }}
              />
              <ProblemNote
                error={
                  inBody.length > 0 ? asProblem(save.error).about(inBody) : isClash(save.error) ? null : faults.rest
                }
              />
              <p className="dim">
                <kbd>Ctrl Space</kbd> offers what may stand here, <kbd>Ctrl S</kbd> saves.
              </p>
            </div>
            <div className={styles.side}>
              <TextInput
                label="Name"
                value={name}
                readOnly={!may}
                error={faults.at("/name")}
                onChange={(event) => setName(event.currentTarget.value)}
              />
              <TextInput
                label="Slug"
                description="What calls name"
                value={slug}
                readOnly={!may}
                error={faults.at("/slug")}
                onChange={(event) => setSlug(event.currentTarget.value)}
              />
              <Facts
                facts={[
                  [
                    "Id",
                    <span key="id" className="mono">
                      {config.id}
                    </span>,
                  ],
                  ["Made", <Moment key="made" at={config.created_at} />],
                  ["Changed", <Moment key="changed" at={config.updated_at} />],
                ]}
              />
              <UsedBy config={config} />
            </div>
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="changes" pt="md">
          <Changes config={config.id} />
        </Tabs.Panel>
        <Tabs.Panel value="use" pt="md" maw={820}>
          <CodeTabs snippets={callSnippets(gatewayUrl, "gh_…", example, config.slug)} />
        </Tabs.Panel>
      </Tabs>
      {deleting && <Delete config={config} onClose={() => setDeleting(false)} />}
    </Page>
  );
}

function useUsers(config: ConfigRow): string[] {
  const { all } = useWorkspace();
  const keys = useChoices(["api-keys", config.workspace], lists.apiKeys(config.workspace));
  const workspace = all.find((one) => one.id === config.workspace);
  const users = keys
    .filter((key) => key.default_config === config.slug && key.state !== "revoked")
    .map((key) => `API key “${key.name}”`);
  if (workspace?.settings.default_config === config.slug) users.unshift(`workspace “${workspace.name}”`);
  return users;
}

function UsedBy({ config }: { config: ConfigRow }) {
  const users = useUsers(config);
  return (
    <Section title="Default of">
      {users.length === 0 ? <span className="dim">Nothing. Calls may name it.</span> : <span>{users.join(", ")}</span>}
    </Section>
  );
}

function Delete({ config, onClose }: { config: ConfigRow; onClose: () => void }) {
  const navigate = useNavigate();
  const changed = useChanged();
  const users = useUsers(config);
  const remove = useMutation({
    mutationFn: () =>
      answer(
        api.DELETE("/api/v1/workspaces/{workspace}/configs/{config}", {
          params: { path: { workspace: config.workspace, config: config.id } },
        }),
      ),
    onSuccess: async () => {
      await navigate({ to: "/configs", search: {}, ignoreBlocker: true });
      await changed("configs");
    },
  });
  return (
    <ConfirmDialog
      title={`Delete “${config.slug}”?`}
      act="Delete"
      typed={config.slug}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Calls that name it fail from then on.{" "}
      {users.length > 0
        ? `It is the default of ${users.join(", ")}, which must let go of it first.`
        : "It is nobody's default."}
    </ConfirmDialog>
  );
}
