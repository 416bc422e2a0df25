import { Autocomplete, Select, SimpleGrid, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged, useChoices } from "@/app/nouns";
import { Clash, from } from "@/components/Clash";
import { FormDialog } from "@/components/Dialog";
import { useFaults } from "@/components/faults";
import { tell } from "@/components/notice";
import { changes } from "@/lib/changes";
import { type Amounts, amountName } from "@/pages/models/amounts";
import type { Price } from "@/pages/models/Prices";

interface PriceFormProps {
  /** Null: a new one. */
  price: Price | null;
  /** What a new one is for, where that is known. */
  about?: { provider: string; model: string; amounts: Amounts };
  onClose: () => void;
}

const FIRST = ["input_usd_per_mtok", "output_usd_per_mtok", "cache_read_usd_per_mtok", "cache_write_usd_per_mtok"];
const FIELDS = [...FIRST, "reasoning_usd_per_mtok", "audio_in_usd_per_mtok", "audio_out_usd_per_mtok"] as const;
const FOUND_MAX = "20";

/** Amounts of one's own, a multiple of whichever hold, or both. Money stays text: no float touches it. */
export function PriceForm({ price, about, onClose }: PriceFormProps) {
  const changed = useChanged();
  const providers = useChoices(["providers"], lists.providers);
  const [provider, setProvider] = useState(price?.provider ?? about?.provider ?? "");
  const [model, setModel] = useState(price?.model ?? about?.model ?? "");
  const [since, setSince] = useState(price?.valid_from ?? "");
  const [multiplier, setMultiplier] = useState(price?.multiplier ?? "");
  const [amounts, setAmounts] = useState<Amounts>(price?.amounts ?? about?.amounts ?? {});
  const known = useQuery({
    queryKey: ["models", "names", provider, model],
    enabled: !price && provider !== "",
    queryFn: () =>
      lists.models({
        filter: [`provider=${JSON.stringify(provider)}`, ...(model ? [`name:${JSON.stringify(model)}`] : [])].join(" "),
        limit: FOUND_MAX,
      }),
  });
  const written = Object.fromEntries(Object.entries(amounts).filter(([, amount]) => amount));
  const own = Object.keys(written).length > 0 ? written : null;
  const body = { amounts: own, multiplier: multiplier.trim() || null, ...(since ? { valid_from: since } : {}) };
  const [first] = useState(body);
  const save = useMutation({
    mutationFn: async (over: Price | undefined) => {
      if (price)
        return answer(
          api.PATCH("/api/v1/prices/{price}", {
            params: { path: { price: price.id }, header: from(over ?? price) },
            body: changes(first, body) as Schemas["PriceUpdate"],
          }),
        );
      const made = { provider, model: model.trim() || null, ...body };
      return answer(api.POST("/api/v1/prices", { body: made as Schemas["PriceCreate"] }));
    },
    onSuccess: async () => {
      await changed("prices", "models");
      tell("The price holds for calls that begin from now on");
      onClose();
    },
  });
  const faults = useFaults(save.error, {
    "/provider": provider,
    "/model": model,
    "/valid_from": since,
    "/multiplier": multiplier,
    ...Object.fromEntries(FIELDS.map((name) => [`/amounts/${name}`, amounts[name]])),
  });
  return (
    <FormDialog
      title={price ? `Edit the price of ${price.model ?? price.provider}` : "Add a price"}
      submit="Save"
      size="lg"
      busy={save.isPending}
      faults={faults}
      clash={
        price && (
          <Clash
            error={save.error}
            began={save.variables ?? price}
            fields={Object.keys(body)}
            busy={save.isPending}
            read={() => answer(api.GET("/api/v1/prices/{price}", { params: { path: { price: price.id } } }))}
            onKeep={(now) => save.mutate(now)}
            onDiscard={async () => {
              onClose();
              await changed("prices", "models");
            }}
          />
        )
      }
      onSubmit={() => save.mutate(undefined)}
      onClose={onClose}
    >
      <SimpleGrid cols={2}>
        <Select
          label="Provider"
          required
          searchable
          data-autofocus
          disabled={price !== null}
          data={providers.map((one) => ({ value: one.id, label: one.name }))}
          value={provider || null}
          error={faults.at("/provider")}
          onChange={(id) => setProvider(id ?? "")}
        />
        <Autocomplete
          label="Model"
          description="Empty: every one that has no price of its own"
          inputWrapperOrder={["label", "input", "description", "error"]}
          disabled={price !== null}
          data={[...new Set(known.data?.data.map((one) => one.name) ?? [])]}
          value={model}
          error={faults.at("/model")}
          onChange={setModel}
        />
        <TextInput
          type="date"
          label="From"
          description="Midnight UTC; empty: today"
          inputWrapperOrder={["label", "input", "description", "error"]}
          value={since}
          error={faults.at("/valid_from")}
          onChange={(event) => setSince(event.currentTarget.value)}
        />
        <TextInput
          label="Times"
          description="Multiplies whichever amounts hold: 0.85 is 15 % off"
          inputWrapperOrder={["label", "input", "description", "error"]}
          placeholder="1"
          inputMode="decimal"
          value={multiplier}
          error={faults.at("/multiplier")}
          onChange={(event) => setMultiplier(event.currentTarget.value)}
        />
      </SimpleGrid>
      <Text size="sm" c="dimmed">
        US dollars for a million tokens, in place of the catalogue's. Amounts that are left out are not known then.
      </Text>
      <SimpleGrid cols={2}>
        {FIELDS.map((name) => (
          <TextInput
            key={name}
            label={amountName(name)}
            leftSection="$"
            inputMode="decimal"
            placeholder={Object.values(amounts).some(Boolean) ? "unknown" : "the catalogue's"}
            value={amounts[name] ?? ""}
            error={faults.at(`/amounts/${name}`)}
            onChange={(event) => setAmounts({ ...amounts, [name]: event.currentTarget.value.trim() })}
          />
        ))}
      </SimpleGrid>
    </FormDialog>
  );
}
