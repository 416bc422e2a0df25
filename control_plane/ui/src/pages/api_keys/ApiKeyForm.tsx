import { MultiSelect, Select, TagsInput, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged, useChoices } from "@/app/nouns";
import type { Workspace } from "@/app/workspace";
import { Clash, from } from "@/components/Clash";
import { FormDialog } from "@/components/Dialog";
import { useFaults } from "@/components/faults";
import { tell } from "@/components/notice";
import { changes } from "@/lib/changes";
import { moment } from "@/lib/time";

type ApiKey = Schemas["ApiKeyView"];

interface ApiKeyFormProps {
  workspace: Workspace;
  /** Null: a new one. */
  apiKey: ApiKey | null;
  onClose: () => void;
  onMade: (made: Schemas["ApiKeyCreated"]) => void;
}

const SCOPES = [
  { value: "completions.write", label: "Call models" },
  { value: "explain", label: "Ask where a call would go" },
];
const RULES = [
  { value: "", label: "As the workspace says" },
  { value: "yes", label: "Allowed" },
  { value: "no", label: "Forbidden" },
];
const INLINE = [
  ["keys", "Own provider keys in calls"],
  ["configs", "Inline configs in calls"],
  ["hosts", "Own hosts in calls"],
] as const;

export function ApiKeyForm({ workspace, apiKey, onClose, onMade }: ApiKeyFormProps) {
  const configs = useChoices(["configs", workspace.id], lists.configs(workspace.id));
  const changed = useChanged();
  const [name, setName] = useState(apiKey?.name ?? "");
  const [scopes, setScopes] = useState<string[]>([...(apiKey?.scopes ?? ["completions.write"])]);
  const [config, setConfig] = useState(apiKey?.default_config ?? "");
  const [models, setModels] = useState<string[]>([...(apiKey?.models ?? [])]);
  const [expires, setExpires] = useState(apiKey?.expires_at ? local(apiKey.expires_at) : "");
  const [inline, setInline] = useState<Record<string, string>>(
    Object.fromEntries(INLINE.map(([rule]) => [rule, spokenRule(apiKey?.inline[rule])])),
  );
  const body = {
    name,
    scopes: scopes as Schemas["ApiKeyCreate"]["scopes"],
    default_config: config || null,
    models: models.length > 0 ? models : null,
    expires_at: moment(expires),
    inline: { keys: rule(inline.keys), configs: rule(inline.configs), hosts: rule(inline.hosts) },
  };
  const [first] = useState(body);
  const save = useMutation({
    mutationFn: async (over: ApiKey | undefined) => {
      const path = { workspace: workspace.id };
      if (!apiKey)
        return answer(
          api.POST("/api/v1/workspaces/{workspace}/api-keys", {
            params: { path },
            body: body as Schemas["ApiKeyCreate"],
          }),
        );
      await answer(
        api.PATCH("/api/v1/workspaces/{workspace}/api-keys/{api_key}", {
          params: { path: { ...path, api_key: apiKey.id }, header: from(over ?? apiKey) },
          body: changes(first, body) as Schemas["ApiKeyUpdate"],
        }),
      );
      return null;
    },
    onSuccess: async (made) => {
      await changed("api-keys");
      onClose();
      if (made) onMade(made);
      else tell(`“${name}” is saved`);
    },
  });
  const faults = useFaults(save.error, {
    "/name": name,
    "/scopes": scopes,
    "/default_config": config,
    "/models": models,
    "/expires_at": expires,
  });
  return (
    <FormDialog
      title={apiKey ? `Edit “${apiKey.name}”` : "Make an API key"}
      submit={apiKey ? "Save" : "Make the key"}
      busy={save.isPending}
      faults={faults}
      clash={
        apiKey && (
          <Clash
            error={save.error}
            began={save.variables ?? apiKey}
            fields={Object.keys(body)}
            busy={save.isPending}
            read={() =>
              answer(
                api.GET("/api/v1/workspaces/{workspace}/api-keys/{api_key}", {
                  params: { path: { workspace: workspace.id, api_key: apiKey.id } },
                }),
              )
            }
            onKeep={(now) => save.mutate(now)}
            onDiscard={async () => {
              onClose();
              await changed("api-keys");
            }}
          />
        )
      }
      onSubmit={() => save.mutate(undefined)}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="The application that will use it"
        required
        data-autofocus
        maxLength={200}
        value={name}
        error={faults.at("/name")}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <MultiSelect label="It may" data={SCOPES} value={scopes} error={faults.at("/scopes")} onChange={setScopes} />
      <Select
        label="Default config"
        description="For calls that name no target"
        data={[
          { value: "", label: "As the workspace says" },
          ...configs.map((one) => ({ value: one.slug, label: `${one.name} (${one.slug})` })),
        ]}
        value={config}
        error={faults.at("/default_config")}
        onChange={(slug) => setConfig(slug ?? "")}
      />
      <TagsInput
        label="Models"
        description="Empty: all. A * at the end stands for any rest: gpt-4o*"
        placeholder={models.length ? "" : "All models"}
        value={models}
        error={faults.at("/models")}
        onChange={setModels}
      />
      <TextInput
        type="datetime-local"
        label="Expires"
        description="Empty: never"
        value={expires}
        error={faults.at("/expires_at")}
        onChange={(event) => setExpires(event.currentTarget.value)}
      />
      {INLINE.map(([name, label]) => (
        <Select
          key={name}
          label={label}
          data={RULES}
          value={inline[name] ?? ""}
          onChange={(value) => setInline({ ...inline, [name]: value ?? "" })}
        />
      ))}
    </FormDialog>
  );
}

function rule(value: string | undefined): boolean | null {
  return value ? value === "yes" : null;
}

function spokenRule(value: boolean | null | undefined): string {
  return value === null || value === undefined ? "" : value ? "yes" : "no";
}

/** As an input of local time wants it. */
function local(moment: string): string {
  const at = new Date(moment);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
