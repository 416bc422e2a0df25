import { Button, Group, TextInput } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { useKeys } from "@/app/keys";
import { lists, useChanged, useChoices } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import type { Column } from "@/components/DataTable";
import { FormDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { useFaults } from "@/components/faults";
import { ListView } from "@/components/ListView";
import { Page } from "@/components/Page";
import { useTraffic, withTraffic } from "@/components/traffic";
import { When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { RECIPES, type Recipe, summary } from "@/pages/configs/recipes";

type Config = Schemas["ConfigView"];

const FIELDS = [
  { name: "name", description: "part of the name" },
  { name: "slug", description: "part of the slug" },
];

const COLUMNS: Column<Config>[] = [
  {
    id: "slug",
    header: "Slug",
    sort: "slug",
    width: 140,
    grow: 160,
    cell: (config) => <span className="mono clip">{config.slug}</span>,
  },
  {
    id: "name",
    header: "Name",
    sort: "name",
    width: 150,
    grow: 200,
    cell: (config) => <span className="clip">{config.name}</span>,
  },
  {
    id: "summary",
    header: "Where calls go",
    width: 280,
    grow: 420,
    cell: (config) => <span className="clip">{summary(config.body)}</span>,
  },
  {
    id: "updated_at",
    header: "Changed",
    sort: "updated_at",
    width: 100,
    cell: (config) => <When at={config.updated_at} />,
  },
  {
    id: "id",
    header: "Id",
    width: 230,
    optional: true,
    cell: (config) => <span className="mono clip">{config.id}</span>,
  },
];

export function Configs() {
  const { workspace } = useWorkspace();
  const [search] = useAddress();
  const navigate = useNavigate();
  const rights = useRights();
  const [recipe, setRecipe] = useState<Recipe | null>(null);
  const may = rights.manages(workspace?.id);
  const columns = withTraffic(COLUMNS, "updated_at", "config", useTraffic("config"));
  const table = useRows(
    ["configs", workspace?.id],
    lists.configs(workspace?.id ?? ""),
    { filter: onlyFields(search.filter ?? "", "name"), sort: search.sort },
    { enabled: workspace !== undefined },
  );
  const blank = RECIPES[0] as Recipe;
  useKeys("Configs", may ? [{ keys: "c", label: "Write a config", run: () => setRecipe(blank) }] : []);
  const open = (id: string) => {
    const config = table.rows.find((row) => row.id === id);
    if (config)
      void navigate({
        to: "/configs/$config",
        params: { config: config.slug },
        search: { workspace: search.workspace } as never,
      });
  };
  return (
    <Page
      filling
      title="Configs"
      lead="A config says where calls go: one target, or several of which the next is tried when one fails. Calls name it by its slug, or get it as a key's or a workspace's default."
      acts={
        may && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setRecipe(blank)}>
            Write a config
          </Button>
        )
      }
    >
      <ListView
        label="Configs"
        columns={columns}
        fields={FIELDS}
        placeholder="Name, or slug:…"
        table={table}
        rowId={(config) => config.id}
        sort="-created_at"
        onOpen={open}
        empty={
          <EmptyState
            title="No config yet"
            acts={
              may &&
              RECIPES.map((one) => (
                <Button key={one.name} variant="default" onClick={() => setRecipe(one)}>
                  {one.name}
                </Button>
              ))
            }
          >
            Begin with one of these, and change it as you like.
          </EmptyState>
        }
      />
      {recipe && workspace && <NewConfig workspace={workspace.id} recipe={recipe} onClose={() => setRecipe(null)} />}
    </Page>
  );
}

function NewConfig({ workspace, recipe, onClose }: { workspace: string; recipe: Recipe; onClose: () => void }) {
  const navigate = useNavigate();
  const changed = useChanged();
  const [search] = useAddress();
  const keys = useChoices(["virtual-keys", workspace], lists.virtualKeys(workspace)).map((key) => key.slug);
  const [chosen, setChosen] = useState(recipe);
  const [slug, setSlug] = useState(recipe.slug);
  const [name, setName] = useState("");
  const make = useMutation({
    mutationFn: () =>
      answer(
        api.POST("/api/v1/workspaces/{workspace}/configs", {
          params: { path: { workspace } },
          body: { slug, name: name || slug, body: chosen.body(keys) },
        }),
      ),
    onSuccess: async (config) => {
      await changed("configs");
      await navigate({
        to: "/configs/$config",
        params: { config: config.slug },
        search: { workspace: search.workspace } as never,
      });
    },
  });
  const faults = useFaults(make.error, { "/slug": slug, "/name": name || slug });
  return (
    <FormDialog
      title="Write a config"
      submit="Save and edit"
      busy={make.isPending}
      faults={faults}
      onSubmit={() => make.mutate()}
      onClose={onClose}
    >
      <Group gap={6}>
        {RECIPES.map((one) => (
          <Button
            key={one.name}
            variant={one === chosen ? "light" : "default"}
            aria-pressed={one === chosen}
            size="xs"
            onClick={() => setChosen(one)}
          >
            {one.name}
          </Button>
        ))}
      </Group>
      <TextInput
        label="Slug"
        description="What calls name"
        required
        data-autofocus
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
    </FormDialog>
  );
}
