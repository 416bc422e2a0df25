import { Button } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "@/api/client";
import { useKeys } from "@/app/keys";
import { lists } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import type { Column } from "@/components/DataTable";
import { EmptyState } from "@/components/EmptyState";
import { ListView } from "@/components/ListView";
import { LiveBadge } from "@/components/LiveBadge";
import { Page } from "@/components/Page";
import { State } from "@/components/State";
import { When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { GatewayForm } from "@/pages/gateways/GatewayForm";

type Gateway = Schemas["GatewayView"];

const REFRESH_MS = 5_000;
const FIELDS = [{ name: "name", description: "part of the name" }];

/** A word for how a gateway is, from its nodes. */
export function health(gateway: Gateway): { state: string; tone: "good" | "warn" | "bad" | "idle" } {
  if (gateway.nodes === 0) return { state: "no node yet", tone: "idle" };
  if (gateway.nodes_connected === gateway.nodes) return { state: "connected", tone: "good" };
  if (gateway.nodes_connected > 0) return { state: "partly silent", tone: "warn" };
  return gateway.seen_at ? { state: "silent", tone: "bad" } : { state: "never seen", tone: "idle" };
}

export function Gateways() {
  const [search] = useAddress();
  const { admin } = useRights();
  const { all } = useWorkspace();
  const navigate = useNavigate();
  const [making, setMaking] = useState(false);
  const table = useRows(
    ["gateways"],
    lists.gateways,
    { filter: onlyFields(search.filter ?? "", "name"), sort: search.sort },
    { refetchMs: REFRESH_MS },
  );
  useKeys("Gateways", admin ? [{ keys: "c", label: "Register a gateway", run: () => setMaking(true) }] : []);
  const names = new Map(all.map((one) => [one.id, one.name]));
  const columns: Column<Gateway>[] = [
    {
      id: "name",
      header: "Name",
      sort: "name",
      width: 160,
      grow: 240,
      cell: (gateway) => <span className="clip">{gateway.name}</span>,
    },
    { id: "state", header: "State", width: 130, cell: (gateway) => <State {...health(gateway)} /> },
    {
      id: "nodes",
      header: "Nodes",
      note: "Connected, of those enrolled",
      numeric: true,
      width: 90,
      cell: (gateway) => `${gateway.nodes_connected} of ${gateway.nodes}`,
    },
    { id: "seen_at", header: "Last heartbeat", width: 120, cell: (gateway) => <When at={gateway.seen_at} /> },
    {
      id: "workspaces",
      header: "Serves",
      width: 160,
      grow: 240,
      cell: (gateway) =>
        gateway.workspaces ? (
          <span className="clip">{gateway.workspaces.map((id) => names.get(id) ?? id).join(", ")}</span>
        ) : (
          <span className="dim">all workspaces</span>
        ),
    },
    {
      id: "created_at",
      header: "Made",
      sort: "created_at",
      width: 100,
      optional: true,
      cell: (gateway) => <When at={gateway.created_at} />,
    },
    {
      id: "id",
      header: "Id",
      width: 230,
      optional: true,
      cell: (gateway) => <span className="mono clip">{gateway.id}</span>,
    },
  ];
  return (
    <Page
      filling
      title="Gateways"
      lead="Data planes in your networks. Each dials out to this control plane, takes what concerns it sealed and signed, and goes on serving its last good state while this control plane is away."
      acts={
        <>
          <LiveBadge state={table.problem ? "reconnecting" : "live"} seenAtMs={table.updatedAtMs} />
          {admin && (
            <Button leftSection={<IconPlus size={16} />} onClick={() => setMaking(true)}>
              Register a gateway
            </Button>
          )}
        </>
      }
    >
      <ListView
        label="Gateways"
        columns={columns}
        fields={FIELDS}
        placeholder="Name"
        table={table}
        rowId={(gateway) => gateway.id}
        sort="-created_at"
        onOpen={(id) =>
          void navigate({
            to: "/gateways/$gateway",
            params: { gateway: id },
            search: { workspace: search.workspace } as never,
          })
        }
        empty={
          <EmptyState
            title="No gateway yet"
            acts={admin && <Button onClick={() => setMaking(true)}>Register the first one</Button>}
          >
            A gateway stands in your own network, and needs no open port towards the outside.
          </EmptyState>
        }
      />
      {making && (
        <GatewayForm
          gateway={null}
          onClose={() => setMaking(false)}
          onMade={(made) =>
            void navigate({
              to: "/gateways/$gateway",
              params: { gateway: made.id },
              search: { workspace: search.workspace, tab: "enrol" } as never,
            })
          }
        />
      )}
    </Page>
  );
}
