import { Button, Menu, MultiSelect, Select, Stack, Switch, TagsInput, TextInput } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights } from "@/app/workspace";
import { Clash, from } from "@/components/Clash";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog, FormDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Facts } from "@/components/Facts";
import { type Faults, useFaults } from "@/components/faults";
import { ListView } from "@/components/ListView";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { changes } from "@/lib/changes";
import { onlyFields } from "@/lib/filter";
import styles from "@/pages/virtual_keys/Providers.module.css";
import {
  LIMIT_NAMES,
  PARAMETERS,
  QUIRK_NAMES,
  type Quirks,
  quirkFacts,
  quirksOf,
  renamedOf,
  renamedTexts,
} from "@/pages/virtual_keys/quirks";

type Provider = Schemas["ProviderView"];

const FIELDS = [
  { name: "name", description: "part of the name" },
  { name: "id", description: "part of the id" },
  { name: "built_in", description: "part of every build", values: ["true", "false"] },
];

const COLUMNS: Column<Provider>[] = [
  {
    id: "name",
    header: "Name",
    sort: "name",
    width: 140,
    grow: 200,
    cell: (one) => <span className="clip">{one.name}</span>,
  },
  { id: "id", header: "Id", sort: "id", width: 130, cell: (one) => <span className="mono clip">{one.id}</span> },
  {
    id: "base_url",
    header: "Base URL",
    width: 220,
    grow: 320,
    cell: (one) => <span className="mono clip">{one.base_url}</span>,
  },
  { id: "doors", header: "Serves", width: 210, cell: (one) => <span className="clip">{one.doors.join(", ")}</span> },
  {
    id: "built_in",
    header: "From",
    width: 90,
    cell: (one) => (one.built_in ? <span className="dim">built in</span> : <span>your own</span>),
  },
];

export function Providers() {
  const [search] = useAddress();
  const { admin } = useRights();
  const [form, setForm] = useState<Provider | "new" | null>(null);
  const [deleting, setDeleting] = useState<Provider | null>(null);
  const table = useRows(["providers"], lists.providers, {
    filter: onlyFields(search.filter ?? "", "name"),
    sort: search.sort,
  });
  return (
    <Page
      filling
      title="Providers"
      lead="Where models are served. Those built in are ready for a virtual key; your own speaks OpenAI's format: a vLLM, an Ollama, a proxy."
      acts={
        admin && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setForm("new")}>
            Add your own
          </Button>
        )
      }
    >
      <ListView
        label="Providers"
        columns={COLUMNS}
        fields={FIELDS}
        placeholder="Name, or built_in:false"
        table={table}
        rowId={(one) => one.id}
        sort="id"
        empty={<EmptyState title="No provider" />}
        peek={(open, close) => (
          <PeekPanel
            title={open.name}
            note={<span className="mono">{open.id}</span>}
            onClose={close}
            acts={
              admin &&
              !open.built_in && (
                <Menu position="bottom-end">
                  <Menu.Target>
                    <Button size="compact-sm" variant="default">
                      Change
                    </Button>
                  </Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item onClick={() => setForm(open)}>Edit</Menu.Item>
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
                [
                  "Base URL",
                  <span key="url" className="mono">
                    {open.base_url}
                  </span>,
                ],
                ["Format", open.dialect],
                ["Serves", open.doors.join(", ")],
                [
                  "Key goes into",
                  <span key="header" className="mono">{`${open.auth_header}: ${open.auth_prefix}…`}</span>,
                ],
                ["Tells usage of streams", open.stream_usage ? "yes" : "no"],
                ...quirkFacts(open),
                ["Listed models", open.models.length > 0 ? open.models.join(", ") : "those of the catalogue"],
                ["From", open.built_in ? "built in" : "your organisation"],
              ]}
            />
          </PeekPanel>
        )}
      />
      {form && <ProviderForm provider={form === "new" ? null : form} onClose={() => setForm(null)} />}
      {deleting && <Delete provider={deleting} onClose={() => setDeleting(null)} />}
    </Page>
  );
}

const DOORS = ["chat", "completions", "embeddings", "messages", "responses"];
const USUAL_DOORS = DOORS.slice(0, 3);

function ProviderForm({ provider, onClose }: { provider: Provider | null; onClose: () => void }) {
  const changed = useChanged();
  const [fields, setFields] = useState({
    id: provider?.id ?? "",
    name: provider?.name ?? "",
    base_url: provider?.base_url ?? "",
    auth_header: provider?.auth_header ?? "authorization",
    auth_prefix: provider?.auth_prefix ?? "Bearer ",
  });
  const [doors, setDoors] = useState<string[]>([...(provider?.doors ?? USUAL_DOORS)]);
  const [models, setModels] = useState<string[]>([...(provider?.models ?? [])]);
  const [quirks, setQuirks] = useState(() => quirksOf(provider));
  const [renamed, setRenamed] = useState(() => renamedTexts(provider?.renamed));
  const [otherwise, setOtherwise] = useState(() => provider !== null && quirkFacts(provider).length > 0);
  const { id, ...rest } = fields;
  const body = {
    ...rest,
    ...quirks,
    renamed: renamedOf(renamed),
    models,
    doors: doors as Schemas["ProviderCreate"]["doors"],
  };
  const [first] = useState(body);
  const save = useMutation({
    mutationFn: async (over: Provider | undefined) => {
      if (!provider)
        await answer(api.POST("/api/v1/providers", { body: { id, ...body } as Schemas["ProviderCreate"] }));
      else
        await answer(
          api.PATCH("/api/v1/providers/{provider}", {
            params: { path: { provider: provider.id }, header: from(over ?? provider) },
            body: changes(first, body) as Schemas["ProviderUpdate"],
          }),
        );
    },
    onSuccess: async () => {
      await changed("providers");
      tell(`“${fields.name}” is saved`);
      onClose();
    },
  });
  const faults = useFaults(save.error, {
    ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [`/${name}`, value])),
    "/doors": doors,
    "/models": models,
    "/limit_name": quirks.limit_name,
    "/renamed": renamedOf(renamed),
    ...Object.fromEntries(PARAMETERS.map(({ name }) => [`/${name}`, quirks[name]])),
  });
  const quirkFault = QUIRK_NAMES.some((name) => faults.at(`/${name}`));
  const field = (name: keyof typeof fields) => ({
    value: fields[name],
    error: faults.at(`/${name}`),
    onChange: (event: { currentTarget: { value: string } }) => {
      const { value } = event.currentTarget;
      setFields((before) => ({ ...before, [name]: value }));
    },
  });
  return (
    <FormDialog
      title={provider ? `Edit “${provider.name}”` : "Add a provider of your own"}
      submit="Save"
      busy={save.isPending}
      faults={faults}
      clash={
        provider && (
          <Clash
            error={save.error}
            began={save.variables ?? provider}
            fields={Object.keys(body)}
            busy={save.isPending}
            read={() =>
              answer(api.GET("/api/v1/providers/{provider}", { params: { path: { provider: provider.id } } }))
            }
            onKeep={(now) => save.mutate(now)}
            onDiscard={async () => {
              onClose();
              await changed("providers");
            }}
          />
        )
      }
      onSubmit={() => save.mutate(undefined)}
      onClose={onClose}
    >
      <TextInput
        label="Id"
        description="What callers name: small letters, digits, dashes"
        required
        data-autofocus
        disabled={provider !== null}
        {...field("id")}
      />
      <TextInput label="Name" required {...field("name")} />
      <TextInput
        label="Base URL"
        description={
          provider
            ? "Scheme, host and path, up to /v1. Stored keys go to no other host than the one they were saved for."
            : "Scheme, host and path, up to /v1"
        }
        placeholder="https://llm.internal/v1"
        required
        {...field("base_url")}
      />
      <TextInput label="Header for the key" required {...field("auth_header")} />
      <TextInput label="Before the key" description="A space at the end counts" {...field("auth_prefix")} />
      <MultiSelect label="Serves" data={DOORS} value={doors} error={faults.at("/doors")} onChange={setDoors} />
      <TagsInput
        label="Models"
        description="What it is listed with; others can be called too"
        value={models}
        error={faults.at("/models")}
        onChange={setModels}
      />
      <details
        className={styles.quirks}
        open={otherwise || quirkFault}
        onToggle={(event) => setOtherwise(event.currentTarget.open)}
      >
        <summary>What its host does otherwise</summary>
        {(otherwise || quirkFault) && (
          <QuirkFields
            quirks={quirks}
            renamed={renamed}
            faults={faults}
            onChange={(changes) => setQuirks({ ...quirks, ...changes })}
            onRename={setRenamed}
          />
        )}
      </details>
    </FormDialog>
  );
}

interface QuirkFieldsProps {
  quirks: Quirks;
  /** `ours=theirs`. */
  renamed: string[];
  faults: Faults;
  onChange: (changes: Partial<Quirks>) => void;
  onRename: (renamed: string[]) => void;
}

function QuirkFields({ quirks, renamed, faults, onChange, onRename }: QuirkFieldsProps) {
  const flip = (name: "stream_usage" | "developer_role" | "cache_hints") => ({
    checked: quirks[name],
    onChange: (event: { currentTarget: { checked: boolean } }) => onChange({ [name]: event.currentTarget.checked }),
  });
  return (
    <Stack gap="md" mt="sm">
      <Switch label="Tells the usage of streams when asked (stream_options)" {...flip("stream_usage")} />
      <Switch label="Takes a developer's messages; else they go out as the system's" {...flip("developer_role")} />
      <Switch label="Takes marks of what to cache (cache_control)" {...flip("cache_hints")} />
      <Select
        label="Calls the limit of an answer"
        allowDeselect={false}
        data={LIMIT_NAMES}
        value={quirks.limit_name}
        error={faults.at("/limit_name")}
        onChange={(name) => onChange({ limit_name: (name ?? quirks.limit_name) as Quirks["limit_name"] })}
      />
      <TagsInput
        label="Calls parameters otherwise"
        description="Ours and the host's name: seed=random_seed"
        value={renamed}
        error={faults.at("/renamed")}
        onChange={onRename}
      />
      {PARAMETERS.map(({ name, label, description }) => (
        <TagsInput
          key={name}
          label={label}
          description={description}
          value={quirks[name]}
          error={faults.at(`/${name}`)}
          onChange={(names) => onChange({ [name]: names })}
        />
      ))}
    </Stack>
  );
}

function Delete({ provider, onClose }: { provider: Provider; onClose: () => void }) {
  const changed = useChanged();
  const [, change] = useAddress();
  const remove = useMutation({
    mutationFn: () =>
      answer(api.DELETE("/api/v1/providers/{provider}", { params: { path: { provider: provider.id } } })),
    onSuccess: async () => {
      change({ open: undefined });
      await changed("providers");
      onClose();
    },
  });
  return (
    <ConfirmDialog
      title={`Delete “${provider.name}”?`}
      act="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Calls that name <span className="mono">{provider.id}</span> fail from then on. Virtual keys of it must be deleted
      first.
    </ConfirmDialog>
  );
}
