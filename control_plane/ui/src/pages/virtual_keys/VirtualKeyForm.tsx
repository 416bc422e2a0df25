import { Select, TagsInput, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged, useChoices } from "@/app/nouns";
import type { Workspace } from "@/app/workspace";
import { Clash, from } from "@/components/Clash";
import { FormDialog } from "@/components/Dialog";
import { useFaults } from "@/components/faults";
import { tell } from "@/components/notice";
import { SchemaForm, type Values } from "@/components/SchemaForm";
import { changes } from "@/lib/changes";
import type { Schema } from "@/lib/json";

type VirtualKey = Schemas["VirtualKeyView"];

interface VirtualKeyFormProps {
  workspace: Workspace;
  /** Null: a new one. */
  virtualKey: VirtualKey | null;
  onClose: () => void;
}

export function VirtualKeyForm({ workspace, virtualKey, onClose }: VirtualKeyFormProps) {
  const providers = useChoices(["providers"], lists.providers);
  const changed = useChanged();
  const [provider, setProvider] = useState(virtualKey?.provider ?? "");
  const [slug, setSlug] = useState(virtualKey?.slug ?? "");
  const [name, setName] = useState(virtualKey?.name ?? "");
  const [baseUrl, setBaseUrl] = useState(virtualKey?.base_url ?? "");
  const [models, setModels] = useState<string[]>([...(virtualKey?.models ?? [])]);
  const [credential, setCredential] = useState<Values>({});
  const form = useQuery({
    queryKey: ["credential-schema", provider],
    enabled: provider !== "",
    queryFn: () =>
      answer(api.GET("/api/v1/providers/{provider}/credential-schema", { params: { path: { provider } } })),
  });
  const given = Object.values(credential).some((value) => value !== undefined);
  const body = { slug, name: name || slug, base_url: baseUrl || null, models: models.length > 0 ? models : null };
  const [first] = useState(body);
  const save = useMutation({
    mutationFn: async (over: VirtualKey | undefined) => {
      const path = { workspace: workspace.id };
      if (!virtualKey) {
        await answer(
          api.POST("/api/v1/workspaces/{workspace}/virtual-keys", {
            params: { path },
            body: { ...body, provider, credential: credential as never },
          }),
        );
      } else {
        await answer(
          api.PATCH("/api/v1/workspaces/{workspace}/virtual-keys/{virtual_key}", {
            params: { path: { ...path, virtual_key: virtualKey.id }, header: from(over ?? virtualKey) },
            body: { ...changes(first, body), ...(given ? { credential: credential as never } : {}) },
          }),
        );
      }
    },
    onSuccess: async () => {
      await changed("virtual-keys");
      tell(`“${slug}” is saved; gateways have it in about a second`);
      onClose();
    },
  });
  const schema = form.data?.json_schema as Schema | undefined;
  const shown = schema && virtualKey ? { ...schema, required: [] } : schema;
  const fields = Object.keys(schema?.properties ?? {});
  const faults = useFaults(save.error ?? form.error, {
    "/provider": provider,
    // Another address wants the credential anew: as it was, it wants none.
    "/credential": [credential, baseUrl],
    ...Object.fromEntries(fields.map((field) => [`/credential/${field}`, credential[field]])),
    "/slug": slug,
    "/name": name || slug,
    "/base_url": baseUrl,
    "/models": models,
  });
  return (
    <FormDialog
      title={virtualKey ? `Edit “${virtualKey.slug}”` : "Add a virtual key"}
      submit={virtualKey ? "Save" : "Store the key"}
      busy={save.isPending}
      faults={faults}
      clash={
        virtualKey && (
          <Clash
            error={save.error}
            began={save.variables ?? virtualKey}
            fields={Object.keys(body)}
            busy={save.isPending}
            read={() =>
              answer(
                api.GET("/api/v1/workspaces/{workspace}/virtual-keys/{virtual_key}", {
                  params: { path: { workspace: workspace.id, virtual_key: virtualKey.id } },
                }),
              )
            }
            onKeep={(now) => save.mutate(now)}
            onDiscard={async () => {
              onClose();
              await changed("virtual-keys");
            }}
          />
        )
      }
      onSubmit={() => save.mutate(undefined)}
      onClose={onClose}
    >
      <Select
        label="Provider"
        required
        searchable
        data-autofocus
        placeholder="Choose one"
        disabled={virtualKey !== null}
        data={providers.map((one) => ({
          value: one.id,
          label: one.name === one.id ? one.id : `${one.name} (${one.id})`,
        }))}
        value={provider || null}
        error={faults.at("/provider")}
        onChange={(id) => {
          setProvider(id ?? "");
          if (!slug || slug === provider) setSlug(id ?? "");
          setCredential({});
        }}
      />
      {virtualKey && (
        <Text size="sm" c="dimmed">
          The stored credential is never shown, and stays while the fields of one are empty. What is written there takes
          its place, whole.
        </Text>
      )}
      {shown && (
        <SchemaForm
          schema={shown}
          values={credential}
          onChange={setCredential}
          fault={faults.at("/credential")}
          faultOf={(field) => faults.at(`/credential/${field}`)}
        />
      )}
      <TextInput
        label="Slug"
        description="What calls and configs name"
        required
        maxLength={100}
        value={slug}
        error={faults.at("/slug")}
        onChange={(event) => setSlug(event.currentTarget.value)}
      />
      <TextInput
        label="Name"
        description="For people"
        maxLength={200}
        value={name}
        error={faults.at("/name")}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <TextInput
        label="Base URL"
        description={
          virtualKey ? "Empty: the provider's own. Another one needs the secret with it." : "Empty: the provider's own"
        }
        placeholder={providers.find((one) => one.id === provider)?.base_url}
        value={baseUrl}
        error={faults.at("/base_url")}
        onChange={(event) => setBaseUrl(event.currentTarget.value)}
      />
      <TagsInput
        label="Models"
        description="Empty: what the catalogue lists for the provider"
        value={models}
        error={faults.at("/models")}
        onChange={setModels}
      />
    </FormDialog>
  );
}
