import { Button, Menu, Tabs } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import { ConfirmDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { Facts, Section } from "@/components/Facts";
import { LiveBadge } from "@/components/LiveBadge";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { State } from "@/components/State";
import { Moment, When } from "@/components/When";
import { bytes, count, spoken } from "@/lib/format";
import { span } from "@/lib/time";
import { Enrolment } from "@/pages/gateways/Enrolment";
import styles from "@/pages/gateways/Gateway.module.css";
import { GatewayForm } from "@/pages/gateways/GatewayForm";
import { health } from "@/pages/gateways/Gateways";
import { NodeRecords } from "@/pages/gateways/NodeRecords";

type Node = Schemas["NodeView"];
type GatewayRow = Schemas["GatewayView"];

const REFRESH_MS = 3_000;
const CLOCK_AHEAD_MS_MAX = 2_000;

export function Gateway() {
  const { gateway: id = "" } = useParams({ strict: false }) as { gateway?: string };
  const [search, change] = useAddress();
  const { admin } = useRights();
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const found = useQuery({
    queryKey: ["gateways", "one", id],
    refetchInterval: REFRESH_MS,
    queryFn: () => answer(api.GET("/api/v1/gateways/{gateway}", { params: { path: { gateway: id } } })),
  });
  const nodes = useRows(["nodes", id], lists.nodes(id), { sort: "-enrolled_at" }, { refetchMs: REFRESH_MS });
  const gateway = found.data;
  if (!gateway)
    return (
      <Page title="Gateway">
        {found.error ? <ProblemNote error={found.error} retry={() => void found.refetch()} /> : null}
      </Page>
    );
  const living = nodes.rows.filter((node) => node.state !== "revoked");
  return (
    <Page
      title={gateway.name}
      lead={
        <>
          <Link to="/gateways">Gateways</Link> · <span className="mono">{gateway.id}</span>
        </>
      }
      acts={
        <>
          <LiveBadge state={found.error || nodes.problem ? "reconnecting" : "live"} seenAtMs={nodes.updatedAtMs} />
          {admin && (
            <Menu position="bottom-end">
              <Menu.Target>
                <Button variant="default">Change</Button>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item onClick={() => setEditing(true)}>Edit</Menu.Item>
                <Menu.Item color="red" onClick={() => setDeleting(true)}>
                  Delete…
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          )}
        </>
      }
    >
      <div className={styles.strip}>
        <Stat name="State">
          <State {...health(gateway)} />
        </Stat>
        <Stat name="Nodes connected">
          {gateway.nodes_connected} of {gateway.nodes}
        </Stat>
        <Stat name="Last heartbeat">
          <When at={gateway.seen_at} />
        </Stat>
        <Stat name="Serves">
          <Served gateway={gateway} />
        </Stat>
      </div>
      <Tabs
        value={search.tab ?? "nodes"}
        onChange={(tab) => change({ tab: tab === "nodes" ? undefined : (tab ?? undefined) })}
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="nodes">Nodes</Tabs.Tab>
          {admin && <Tabs.Tab value="enrol">Enrol a node</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="nodes" pt="md">
          <div className={styles.nodes}>
            {nodes.problem && <ProblemNote error={nodes.problem} retry={() => void nodes.refetch()} />}
            {living.map((node) => (
              <NodeCard key={node.id} node={node} />
            ))}
            {!nodes.loading && living.length === 0 && (
              <EmptyState
                title="No node yet"
                acts={<Button onClick={() => change({ tab: "enrol" })}>Enrol a node</Button>}
              >
                A node is one running instance of the gateway. It enrols itself with a one-use token.
              </EmptyState>
            )}
            {nodes.rows.length > living.length && (
              <Section title={`Revoked (${nodes.rows.length - living.length})`}>
                <Facts
                  facts={nodes.rows
                    .filter((node) => node.state === "revoked")
                    .map((node) => [node.id, <When key={node.id} at={node.revoked_at} />])}
                />
              </Section>
            )}
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="enrol" pt="md">
          <Enrolment gateway={gateway} nodes={nodes.rows} />
        </Tabs.Panel>
      </Tabs>
      {editing && <GatewayForm gateway={gateway} onClose={() => setEditing(false)} />}
      {deleting && <DeleteGateway gateway={gateway} onClose={() => setDeleting(false)} />}
    </Page>
  );
}

function Stat({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className={styles.stat}>
      <div className={styles.statName}>{name}</div>
      <div className="numbers">{children}</div>
    </div>
  );
}

function Served({ gateway }: { gateway: GatewayRow }) {
  const { all } = useWorkspace();
  if (!gateway.workspaces) return <>all workspaces</>;
  const names = new Map(all.map((one) => [one.id, one.name]));
  return <>{gateway.workspaces.map((id) => names.get(id) ?? id).join(", ")}</>;
}

function NodeCard({ node }: { node: Node }) {
  const { admin } = useRights();
  const [revoking, setRevoking] = useState(false);
  const health = node.health;
  const behind = node.shards.filter((shard) => shard.behind !== 0);
  const sync =
    node.shards.length === 0 || !health
      ? "waiting"
      : behind.length === 0
        ? "all applied"
        : `${behind.length} of ${node.shards.length} shards behind`;
  return (
    <article className={styles.node}>
      <header className={styles.nodeHead}>
        <div className={styles.nodeName}>
          <h2 className="mono">{node.id}</h2>
          <State state={node.state} />
          <State state={sync} tone={sync === "all applied" ? "good" : sync === "waiting" ? "idle" : "warn"} />
        </div>
        {admin && (
          <Button size="compact-sm" variant="default" onClick={() => setRevoking(true)}>
            Revoke…
          </Button>
        )}
      </header>
      {health?.refusal && (
        <p className="bad">
          It took nothing of the newest state: <span className="mono">{health.refusal}</span>. It serves its last good
          one.
        </p>
      )}
      <div className={styles.columns}>
        <Facts
          facts={[
            ["Last heartbeat", <When key="seen" at={node.seen_at} />],
            ["Build", health?.build],
            ["Protocol", health && `GHS/1, ${health.protocol.min} to ${health.protocol.max}`],
            [
              "Workers",
              health &&
                `${health.workers.filter((worker) => worker.lease !== null).length} of ${health.workers.length} serving`,
            ],
            ["Stores", health && <Stores key="stores" stores={health.stores} />],
            ["Free disk", health && bytes(health.disk_free_bytes)],
            ["Clock", health && <Clock key="clock" aheadMs={health.clock_ahead_ms} />],
            ["Enrolled", <Moment key="enrolled" at={node.enrolled_at} />],
          ]}
        />
        <div className={styles.shards}>
          <table>
            <caption>How far it has come</caption>
            <thead>
              <tr>
                <th scope="col">Shard</th>
                <th scope="col">Now</th>
                <th scope="col">Has</th>
                <th scope="col">Serves</th>
                <th scope="col">Behind</th>
              </tr>
            </thead>
            <tbody>
              {node.shards.map((shard) => (
                <tr key={shard.shard}>
                  <th scope="row" className="mono">
                    <ShardName shard={shard.shard} />
                  </th>
                  <td>{shard.head.revision}</td>
                  <td>{shard.have?.revision ?? "—"}</td>
                  <td>{shard.applied?.revision ?? "—"}</td>
                  <td>
                    {shard.behind === 0 ? (
                      <span className="good">0</span>
                    ) : (
                      <span className="warn">
                        {shard.behind ?? "all"}
                        {shard.behind_since && (
                          <>
                            {" · "}
                            <When at={shard.behind_since} />
                          </>
                        )}
                      </span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
      {health && health.refused_count > 0 && (
        <Section title={`Refused resources (${count(health.refused_count)})`}>
          <p className="dim">The node could not use these; their last good version, if there was one, serves on.</p>
          <Facts
            facts={health.refused.map((refused) => [
              `${spoken(refused.kind)} ${refused.id}`,
              <span key={refused.id}>
                <span className="bad">{spoken(refused.code)}</span>
                {refused.path && <span className="mono"> at {refused.path}</span>}, revision {refused.revision}
              </span>,
            ])}
          />
        </Section>
      )}
      <NodeRecords node={node} />
      {revoking && <RevokeNode node={node} onClose={() => setRevoking(false)} />}
    </article>
  );
}

function ShardName({ shard }: { shard: string }) {
  const { all } = useWorkspace();
  const workspace = all.find((one) => shard.endsWith(one.id));
  return (
    <span title={shard}>
      {workspace
        ? `workspace ${workspace.slug}`
        : shard.startsWith("org")
          ? "organisation"
          : shard.replace(/[/:].*/, "")}
    </span>
  );
}

function Stores({ stores }: { stores: Record<string, boolean> }) {
  return (
    <span style={{ display: "flex", gap: 16 }}>
      {Object.entries(stores).map(([name, works]) => (
        <span key={name} className={works ? "good" : "bad"}>
          {name} {works ? "works" : "is away"}
        </span>
      ))}
    </span>
  );
}

function Clock({ aheadMs }: { aheadMs: number }) {
  const size = Math.abs(aheadMs);
  if (size < CLOCK_AHEAD_MS_MAX) return <span>right</span>;
  return (
    <span className="warn">
      {span(size)} {aheadMs > 0 ? "ahead" : "behind"}
    </span>
  );
}

function RevokeNode({ node, onClose }: { node: Node; onClose: () => void }) {
  const changed = useChanged();
  const revoke = useMutation({
    mutationFn: () =>
      answer(
        api.DELETE("/api/v1/gateways/{gateway}/nodes/{node}", {
          params: { path: { gateway: node.gateway, node: node.id } },
        }),
      ),
    onSuccess: async () => {
      await changed("nodes", "gateways");
      tell("The node is revoked");
      onClose();
    },
  });
  return (
    <ConfirmDialog
      title="Revoke this node?"
      act="Revoke"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
    >
      It is told nothing any more from now on, and goes on serving what it has until it is stopped. To come back it
      needs a new token and an empty state folder.
    </ConfirmDialog>
  );
}

function DeleteGateway({ gateway, onClose }: { gateway: GatewayRow; onClose: () => void }) {
  const navigate = useNavigate();
  const changed = useChanged();
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE("/api/v1/gateways/{gateway}", { params: { path: { gateway: gateway.id } } })),
    onSuccess: async () => {
      await navigate({ to: "/gateways", search: {} });
      await changed("gateways");
    },
  });
  return (
    <ConfirmDialog
      title={`Delete “${gateway.name}”?`}
      act="Delete"
      typed={gateway.name}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Its {gateway.nodes} node{gateway.nodes === 1 ? " is a stranger" : "s are strangers"} from then on: no edit reaches{" "}
      {gateway.nodes === 1 ? "it" : "them"} any more. Stop {gateway.nodes === 1 ? "it" : "them"}, or callers are served
      from a state that grows old.
    </ConfirmDialog>
  );
}
