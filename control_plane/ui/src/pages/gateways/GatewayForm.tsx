import { MultiSelect, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { useChanged } from "@/app/nouns";
import { useWorkspace } from "@/app/workspace";
import { Clash, from } from "@/components/Clash";
import { FormDialog } from "@/components/Dialog";
import { useFaults } from "@/components/faults";
import { changes } from "@/lib/changes";

type Gateway = Schemas["GatewayView"];

export function GatewayForm({
  gateway,
  onClose,
  onMade,
}: {
  gateway: Gateway | null;
  onClose: () => void;
  onMade?: (made: Gateway) => void;
}) {
  const { all } = useWorkspace();
  const changed = useChanged();
  const [name, setName] = useState(gateway?.name ?? "");
  const [url, setUrl] = useState(gateway?.url ?? "");
  const [workspaces, setWorkspaces] = useState<string[]>([...(gateway?.workspaces ?? [])]);
  const body = { name, url: url || null, workspaces: workspaces.length > 0 ? workspaces : null };
  const [first] = useState(body);
  const save = useMutation({
    mutationFn: (over: Gateway | undefined) => {
      if (!gateway) return answer(api.POST("/api/v1/gateways", { body }));
      return answer(
        api.PATCH("/api/v1/gateways/{gateway}", {
          params: { path: { gateway: gateway.id }, header: from(over ?? gateway) },
          body: changes(first, body),
        }),
      );
    },
    onSuccess: async (saved) => {
      await changed("gateways");
      onClose();
      onMade?.(saved);
    },
  });
  const faults = useFaults(save.error, { "/name": name, "/url": url, "/workspaces": workspaces });
  return (
    <FormDialog
      title={gateway ? `Edit “${gateway.name}”` : "Register a gateway"}
      submit={gateway ? "Save" : "Register"}
      busy={save.isPending}
      faults={faults}
      clash={
        gateway && (
          <Clash
            error={save.error}
            began={save.variables ?? gateway}
            fields={Object.keys(body)}
            busy={save.isPending}
            read={() => answer(api.GET("/api/v1/gateways/{gateway}", { params: { path: { gateway: gateway.id } } }))}
            onKeep={(now) => save.mutate(now)}
            onDiscard={async () => {
              onClose();
              await changed("gateways");
            }}
          />
        )
      }
      onSubmit={() => save.mutate(undefined)}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="Where it stands: prod-eu, say"
        required
        data-autofocus
        maxLength={200}
        value={name}
        error={faults.at("/name")}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <TextInput
        label="Address"
        description="Where applications reach it, for the examples on these pages. Nothing here ever connects to it."
        placeholder="https://gateway.internal:8787"
        value={url}
        error={faults.at("/url")}
        onChange={(event) => setUrl(event.currentTarget.value)}
      />
      <MultiSelect
        label="Workspaces it may serve"
        description="Empty: all, also those made later"
        placeholder={workspaces.length ? "" : "All"}
        data={all.map((one) => ({ value: one.id, label: one.name }))}
        value={workspaces}
        error={faults.at("/workspaces")}
        onChange={setWorkspaces}
      />
    </FormDialog>
  );
}
