import type { Schemas } from "@/api/client";
import { lists } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useWorkspace } from "@/app/workspace";
import { Copy } from "@/components/Copy";
import type { Column } from "@/components/DataTable";
import { Difference } from "@/components/Difference";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { ListView } from "@/components/ListView";
import { Page } from "@/components/Page";
import { PeekPanel } from "@/components/PeekPanel";
import { When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { sentence, spoken } from "@/lib/format";
import { exact } from "@/lib/time";
import { deed } from "@/lib/told";

type Entry = Schemas["AuditView"];

const COLUMNS: Column<Entry>[] = [
  { id: "at", header: "When", sort: "at", width: 110, cell: (entry) => <When at={entry.at} /> },
  {
    id: "what",
    header: "What",
    sort: "action",
    width: 220,
    grow: 420,
    cell: (entry) => (
      <span className="clip" title={entry.action}>
        {sentence(deed(entry))}
      </span>
    ),
  },
  {
    id: "actor",
    header: "Who",
    sort: "actor",
    width: 180,
    grow: 240,
    cell: (entry) => <span className="clip">{entry.actor_name ?? entry.actor}</span>,
  },
  {
    id: "resource",
    header: "Its id",
    sort: "resource",
    width: 220,
    optional: true,
    cell: (entry) => <span className="mono clip">{entry.resource}</span>,
  },
  { id: "actor_kind", header: "As", width: 90, cell: (entry) => spoken(entry.actor_kind) },
  {
    id: "revision",
    header: "Revision",
    numeric: true,
    width: 80,
    note: "Of the shard that gateways follow, where the change concerned them",
    cell: (entry) => entry.revision ?? <span className="dim">—</span>,
  },
  {
    id: "request_id",
    header: "Request",
    width: 220,
    optional: true,
    cell: (entry) => <span className="mono clip">{entry.request_id}</span>,
  },
];

export function Audit() {
  const [search] = useAddress();
  const { all } = useWorkspace();
  const fields = [
    { name: "actor_name", description: "part of an e-mail address or a key's name" },
    { name: "action", description: "part of a permission: configs.update" },
    {
      name: "kind",
      description: "what was changed",
      values: [
        "account",
        "admin_key",
        "api_key",
        "config",
        "gateway",
        "invitation",
        "member",
        "node",
        "organisation",
        "price",
        "provider",
        "virtual_key",
        "workspace",
      ],
    },
    { name: "actor_kind", description: "person, key or node", values: ["account", "admin_key", "instance", "node"] },
    { name: "workspace", description: "id of a workspace", values: all.map((one) => one.id) },
    { name: "resource", description: "id of what was changed" },
    { name: "request_id", description: "id of the request" },
  ];
  const table = useRows(["audit"], lists.audit, {
    filter: onlyFields(search.filter ?? "", "actor_name"),
    sort: search.sort,
  });
  const names = new Map(all.map((one) => [one.id, one.name]));
  return (
    <Page filling title="Audit" lead="Every change, by whom, with what was before and after. Secrets are never in it.">
      <ListView
        label="Audit"
        columns={COLUMNS}
        fields={fields}
        placeholder="Who, or action:update kind:config -actor_kind:admin_key"
        table={table}
        rowId={(entry) => entry.id}
        sort="-at"
        empty={<EmptyState title="Nothing happened yet" />}
        peek={(entry, close) => (
          <PeekPanel title={sentence(deed(entry))} note={exact(entry.at)} onClose={close}>
            <Facts
              facts={[
                ["Who", entry.actor_name ?? entry.actor],
                ["As", `${spoken(entry.actor_kind)} ${entry.actor}`],
                [
                  "Action",
                  <span key="action" className="mono">
                    {entry.action}
                  </span>,
                ],
                [
                  "Its id",
                  <span key="id" className="mono">
                    {entry.resource}
                  </span>,
                ],
                ["Workspace", entry.workspace ? (names.get(entry.workspace) ?? entry.workspace) : null],
                ["Revision", entry.revision],
                [
                  "Request",
                  <span key="request" className="mono">
                    {entry.request_id} <Copy text={entry.request_id} label="Copy request id" />
                  </span>,
                ],
              ]}
            />
            <Section title="What changed">
              <Difference before={entry.before} after={entry.after} />
            </Section>
          </PeekPanel>
        )}
      />
    </Page>
  );
}
