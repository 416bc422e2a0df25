import { Badge, Button, Tabs } from "@mantine/core";
import { useState } from "react";
import type { Schemas } from "@/api/client";
import { lists, useChoices } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights } from "@/app/workspace";
import type { Column } from "@/components/DataTable";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { ListView } from "@/components/ListView";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { onlyFields } from "@/lib/filter";
import { count, spoken } from "@/lib/format";
import { AmountFacts, dollars } from "@/pages/models/amounts";
import { PriceForm } from "@/pages/models/PriceForm";
import { Prices } from "@/pages/models/Prices";

type Model = Schemas["ModelView"];

/** As a call that begins now is charged: by a price of the organisation's own where it has one. */
const price = (model: Model, name: "input_usd_per_mtok" | "output_usd_per_mtok" | "cache_read_usd_per_mtok") => {
  const own = model.effective_price?.adjustment;
  const shown = dollars((model.effective_price?.amounts ?? model.price?.amounts)?.[name]);
  return own ? <span title={`By your own price ${own}`}>{shown}*</span> : shown;
};

const COLUMNS: Column<Model>[] = [
  {
    id: "name",
    header: "Model",
    sort: "name",
    width: 240,
    grow: 340,
    cell: (model) => <span className="mono clip">{model.name}</span>,
  },
  {
    id: "provider",
    header: "Provider",
    sort: "id",
    width: 120,
    cell: (model) => <span className="clip">{model.provider}</span>,
  },
  { id: "type", header: "Kind", sort: "type", width: 95, cell: (model) => spoken(model.type) },
  {
    id: "context_tokens",
    header: "Context",
    numeric: true,
    width: 85,
    note: "Tokens that fit",
    cell: (model) => count(model.context_tokens),
  },
  {
    id: "input",
    header: "Input",
    numeric: true,
    width: 80,
    note: "US dollars for a million tokens",
    cell: (model) => price(model, "input_usd_per_mtok"),
  },
  {
    id: "output",
    header: "Output",
    numeric: true,
    width: 80,
    note: "US dollars for a million tokens",
    cell: (model) => price(model, "output_usd_per_mtok"),
  },
  {
    id: "cached",
    header: "Cached input",
    numeric: true,
    width: 105,
    optional: true,
    note: "US dollars for a million tokens read from the provider's cache",
    cell: (model) => price(model, "cache_read_usd_per_mtok"),
  },
  {
    id: "output_max",
    header: "Longest answer",
    numeric: true,
    width: 115,
    optional: true,
    cell: (model) => count(model.output_tokens_max),
  },
  {
    id: "retires_on",
    header: "Retires",
    width: 95,
    cell: (model) =>
      model.retires_on ? <span className="warn">{model.retires_on}</span> : <span className="dim">—</span>,
  },
];

const KINDS = [
  "chat",
  "responses",
  "completion",
  "embedding",
  "image_generation",
  "audio_transcription",
  "audio_speech",
  "realtime",
  "rerank",
  "moderation",
];

export function Models() {
  const [search, change] = useAddress();
  const tab = search.tab === "prices" ? "prices" : "catalogue";
  return (
    <Page
      filling
      title="Models & prices"
      lead="US dollars for a million tokens. A price that is not known is unknown: calls of such a model are counted as unpriced, never as free."
    >
      <Tabs
        value={tab}
        onChange={(next) =>
          change({
            tab: next === "prices" ? "prices" : undefined,
            filter: undefined,
            sort: undefined,
            columns: undefined,
            open: undefined,
          })
        }
      >
        <Tabs.List>
          <Tabs.Tab value="catalogue">Catalogue</Tabs.Tab>
          <Tabs.Tab value="prices">Your prices</Tabs.Tab>
        </Tabs.List>
      </Tabs>
      {tab === "prices" ? <Prices /> : <Catalogue />}
    </Page>
  );
}

function Catalogue() {
  const [search] = useAddress();
  const { admin } = useRights();
  const [pricing, setPricing] = useState<Model | null>(null);
  const providers = useChoices(["providers"], lists.providers);
  const fields = [
    { name: "name", description: "part of the model's name" },
    { name: "provider", description: "id of its provider", values: providers.map((one) => one.id) },
    { name: "type", description: "what it is for", values: KINDS },
    {
      name: "ability",
      description: "part of what it can do",
      values: [
        "tools",
        "json_schema",
        "reasoning",
        "vision",
        "prompt_cache",
        "pdf",
        "web_search",
        "audio_in",
        "audio_out",
      ],
    },
  ];
  const table = useRows(["models"], lists.models, {
    filter: onlyFields(search.filter ?? "", "name"),
    sort: search.sort,
  });
  return (
    <>
      <ListView
        label="Models"
        columns={COLUMNS}
        fields={fields}
        placeholder="Name, or provider:openai type:chat ability:vision"
        table={table}
        rowId={(model) => model.id}
        sort="id"
        empty={<EmptyState title="The catalogue is empty" />}
        peek={(model, close) => (
          <PeekPanel title={model.name} note={model.provider} onClose={close}>
            <Facts
              facts={[
                ["Kind", spoken(model.type)],
                ["Context", model.context_tokens ? `${count(model.context_tokens)} tokens` : null],
                ["Longest answer", model.output_tokens_max ? `${count(model.output_tokens_max)} tokens` : null],
                ["Retires", model.retires_on],
                ["Named in calls", <span key="name" className="mono">{`@virtual-key/${model.name}`}</span>],
              ]}
            />
            <Section title="Can do">
              {model.abilities.length > 0 ? (
                <span>
                  {model.abilities.map((ability) => (
                    <Badge key={ability} color="gray" mr={6} mb={4} tt="none" fw={500}>
                      {spoken(ability)}
                    </Badge>
                  ))}
                </span>
              ) : (
                <span className="dim">Not told</span>
              )}
            </Section>
            <Section
              title={
                model.effective_price?.adjustment
                  ? `Your price since ${model.effective_price.valid_from}`
                  : "What a call costs now"
              }
              acts={
                admin && (
                  <Button size="compact-xs" variant="default" onClick={() => setPricing(model)}>
                    Set your own price
                  </Button>
                )
              }
            >
              <AmountFacts amounts={model.effective_price?.amounts ?? model.price?.amounts ?? {}} />
            </Section>
            {model.effective_price?.adjustment && (
              <Section title="The catalogue's price">
                <AmountFacts amounts={model.price?.amounts ?? {}} />
              </Section>
            )}
            {model.price && (
              <Facts
                facts={[
                  ["Catalogued since", model.price.valid_from.slice(0, 10)],
                  [
                    "Price row",
                    <span key="row" className="mono">
                      {model.price.id}
                    </span>,
                  ],
                  ["Times", model.effective_price?.multiplier && `× ${model.effective_price.multiplier}`],
                ]}
              />
            )}
          </PeekPanel>
        )}
      />
      {pricing && (
        <PriceForm
          price={null}
          about={{ provider: pricing.provider, model: pricing.name, amounts: pricing.price?.amounts ?? {} }}
          onClose={() => setPricing(null)}
        />
      )}
    </>
  );
}
