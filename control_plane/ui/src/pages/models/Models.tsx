import { Badge } from "@mantine/core";
import type { Schemas } from "@/api/client";
import { lists, useChoices } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import type { Column } from "@/components/DataTable";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { ListView } from "@/components/ListView";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { onlyFields } from "@/lib/filter";
import { count, spoken, UNKNOWN } from "@/lib/format";

type Model = Schemas["ModelView"];

const price = (model: Model, name: "input_usd_per_mtok" | "output_usd_per_mtok" | "cache_read_usd_per_mtok") => {
  const amount = model.price?.amounts[name];
  return amount === null || amount === undefined ? <span className="dim">{UNKNOWN}</span> : `$${amount}`;
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
  const [search] = useAddress();
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
    <Page
      filling
      title="Models & prices"
      lead="The catalogue: what models can do and what they cost, in US dollars for a million tokens. A price that is not known is unknown, and calls of such a model are counted as unpriced, never as free."
    >
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
            <Section title={model.price ? `Price since ${model.price.valid_from.slice(0, 10)}` : "Price"}>
              {model.price ? (
                <Facts
                  facts={Object.entries(model.price.amounts)
                    .filter(([, amount]) => amount !== null && amount !== undefined)
                    .map(([name, amount]) => [named(name), <span key={name} className="numbers">{`$${amount}`}</span>])}
                />
              ) : (
                <span className="dim">Not known: calls of it are counted as unpriced.</span>
              )}
            </Section>
          </PeekPanel>
        )}
      />
    </Page>
  );
}

/** `cache_read_usd_per_mtok` is “cache read, a million tokens”. */
function named(amount: string): string {
  const [what = "", unit = ""] = amount.split("_usd_");
  const per = { per_mtok: "a million tokens", each: "each", per_second: "a second" }[unit] ?? spoken(unit);
  return `${spoken(what)}, ${per}`;
}
