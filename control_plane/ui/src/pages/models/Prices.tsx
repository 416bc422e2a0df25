import { Button, Menu } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { useKeys } from "@/app/keys";
import { lists, useChanged, useChoices } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights } from "@/app/workspace";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { ListView } from "@/components/ListView";
import { tell } from "@/components/notice";
import { PeekPanel } from "@/components/PeekPanel";
import { Moment } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { AmountFacts, dollars } from "@/pages/models/amounts";
import { PriceForm } from "@/pages/models/PriceForm";

export type Price = Schemas["PriceView"];

const amount = (name: "input_usd_per_mtok" | "output_usd_per_mtok") => (price: Price) =>
  price.amounts ? dollars(price.amounts[name]) : <span className="dim">catalogue's</span>;

const COLUMNS: Column<Price>[] = [
  {
    id: "provider",
    header: "Provider",
    sort: "provider",
    width: 130,
    cell: (price) => <span className="clip">{price.provider}</span>,
  },
  {
    id: "model",
    header: "Model",
    sort: "model",
    width: 200,
    grow: 320,
    cell: (price) =>
      price.model ? <span className="mono clip">{price.model}</span> : <span className="dim">every other one</span>,
  },
  {
    id: "valid_from",
    header: "From",
    sort: "valid_from",
    width: 110,
    note: "Midnight UTC",
    cell: (price) => price.valid_from,
  },
  {
    id: "input",
    header: "Input",
    numeric: true,
    width: 105,
    note: "US dollars for a million tokens",
    cell: amount("input_usd_per_mtok"),
  },
  {
    id: "output",
    header: "Output",
    numeric: true,
    width: 105,
    note: "US dollars for a million tokens",
    cell: amount("output_usd_per_mtok"),
  },
  {
    id: "multiplier",
    header: "Times",
    numeric: true,
    width: 90,
    note: "What the amounts are multiplied by: 0.85 is 15 % off",
    cell: (price) => (price.multiplier ? `× ${price.multiplier}` : <span className="dim">—</span>),
  },
  {
    id: "id",
    header: "Id",
    width: 230,
    optional: true,
    cell: (price) => <span className="mono clip">{price.id}</span>,
  },
];

/** What the organisation pays where that is not what the catalogue says. */
export function Prices() {
  const [search] = useAddress();
  const { admin } = useRights();
  const providers = useChoices(["providers"], lists.providers);
  const [form, setForm] = useState<Price | "new" | null>(null);
  const [deleting, setDeleting] = useState<Price | null>(null);
  const table = useRows(["prices"], lists.prices, {
    filter: onlyFields(search.filter ?? "", "model"),
    sort: search.sort ?? "-valid_from",
  });
  useKeys("Prices", admin ? [{ keys: "c", label: "Add a price", run: () => setForm("new") }] : []);
  return (
    <>
      <ListView
        label="Your prices"
        columns={COLUMNS}
        fields={[
          { name: "model", description: "part of the model's name" },
          { name: "provider", description: "id of its provider", values: providers.map((one) => one.id) },
        ]}
        placeholder="Model, or provider:openai"
        table={table}
        rowId={(price) => price.id}
        sort="-valid_from"
        beside={
          admin && (
            <Button leftSection={<IconPlus size={16} />} onClick={() => setForm("new")}>
              Add a price
            </Button>
          )
        }
        empty={
          <EmptyState
            title="The catalogue's prices count"
            acts={admin && <Button onClick={() => setForm("new")}>Add a price of your own</Button>}
          >
            Write down what you agreed with a provider: amounts for a model, or a multiple of everything it lists.
          </EmptyState>
        }
        peek={(open, close) => (
          <PeekPanel
            title={open.model ?? `Everything at ${open.provider}`}
            note={<span className="mono">{open.id}</span>}
            onClose={close}
            acts={
              admin && (
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
                ["Provider", open.provider],
                ["Model", open.model ?? "every one that has no row of its own"],
                ["From", `${open.valid_from}, midnight UTC`],
                ["Times", open.multiplier && `× ${open.multiplier}`],
                ["Made", <Moment key="made" at={open.created_at} />],
                ["Changed", <Moment key="changed" at={open.updated_at} />],
              ]}
            />
            <Section title="Amounts">
              {open.amounts ? (
                <AmountFacts amounts={open.amounts} />
              ) : (
                <span className="dim">The catalogue's go on.</span>
              )}
            </Section>
          </PeekPanel>
        )}
      />
      {form && <PriceForm price={form === "new" ? null : form} onClose={() => setForm(null)} />}
      {deleting && <DeletePrice price={deleting} onClose={() => setDeleting(null)} />}
    </>
  );
}

function DeletePrice({ price, onClose }: { price: Price; onClose: () => void }) {
  const changed = useChanged();
  const [, change] = useAddress();
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE("/api/v1/prices/{price}", { params: { path: { price: price.id } } })),
    onSuccess: async () => {
      change({ open: undefined });
      await changed("prices", "models");
      tell("The price is deleted");
      onClose();
    },
  });
  return (
    <ConfirmDialog
      title={`Delete the price of ${price.model ?? price.provider}?`}
      act="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Calls that begin after it are charged by the price before it, or by the catalogue's. What was charged stays as it
      is.
    </ConfirmDialog>
  );
}
