import { Button, Loader, Stack } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { CodeTabs } from "@/components/CodeTabs";
import { Facts, Section } from "@/components/Facts";
import { ProblemNote } from "@/components/ProblemNote";
import { State } from "@/components/State";
import { When } from "@/components/When";
import styles from "@/pages/gateways/Enrolment.module.css";

type Made = Schemas["EnrolmentTokenCreated"];

const REFRESH_MS = 2_000;

/** A token, the exact command with it, and what comes of it while one watches. */
export function Enrolment({ gateway, nodes }: { gateway: Schemas["GatewayView"]; nodes: Schemas["NodeView"][] }) {
  const changed = useChanged();
  const tokens = useRows(
    ["tokens", gateway.id],
    lists.tokens(gateway.id),
    { sort: "-created_at", limit: "10" },
    { refetchMs: REFRESH_MS },
  );
  const make = useMutation({
    mutationFn: () =>
      answer(api.POST("/api/v1/gateways/{gateway}/enrolment-tokens", { params: { path: { gateway: gateway.id } } })),
    onSuccess: () => changed("tokens"),
  });
  const made = make.data;
  return (
    <Stack gap="lg" maw={860}>
      {!made && (
        <div>
          <p className={styles.text}>
            A node is let in by a token that works once and for an hour. It carries the fingerprint of this control
            plane's signing key, and the node will trust no other.
          </p>
          <Button loading={make.isPending} onClick={() => make.mutate()}>
            Make a token
          </Button>
        </div>
      )}
      <ProblemNote error={make.error} />
      {made && <Steps made={made} token={tokens.rows.find((row) => row.id === made.id)} nodes={nodes} />}
      {tokens.rows.length > 0 && (
        <Section title="Tokens made lately">
          <Facts
            facts={tokens.rows.map((token) => [
              token.id,
              <span key={token.id} className={styles.token}>
                <State state={token.state} />
                <span className="dim">
                  made <When at={token.created_at} />
                  {token.used_at && (
                    <>
                      , used <When at={token.used_at} />
                    </>
                  )}
                </span>
                {token.state === "used_again" && (
                  <span className="bad">
                    Somebody tried it again: it, or the node it let in, is not yours. Revoke that node.
                  </span>
                )}
              </span>,
            ])}
          />
        </Section>
      )}
    </Stack>
  );
}

function Steps({
  made,
  token,
  nodes,
}: {
  made: Made;
  token: Schemas["EnrolmentTokenView"] | undefined;
  nodes: Schemas["NodeView"][];
}) {
  const node = nodes.find((one) => one.id === token?.node);
  const variables = Object.entries(made.environment);
  const shell = `${variables.map(([name, value]) => `export ${name}=${value}`).join("\n")}\n${made.command}`;
  const docker = `docker run \\\n${variables.map(([name, value]) => `  -e ${name}=${value} \\`).join("\n")}\n  -p 8787:8787 gatehouse ${made.command}`;
  const file = variables.map(([name, value]) => `${name}=${value}`).join("\n");
  const done = node?.state === "connected";
  return (
    <ol className={styles.steps}>
      <li>
        <h3>Run this where the node shall stand</h3>
        <p className={styles.text}>
          The token is shown this once. Nodes that share a Redis get its address as GATEHOUSE_REDIS_URL too.
        </p>
        <CodeTabs
          snippets={[
            { name: "Shell", code: shell },
            { name: "Container", code: docker },
            { name: "Environment file", code: file },
          ]}
        />
      </li>
      <li>
        <h3>Let it come in</h3>
        <div className={styles.wait} role="status">
          {token?.state === "used" ? (
            <>
              <State state="used" tone="good" />
              <span>
                Node <span className="mono">{token.node}</span> came in <When at={token.used_at} />.
              </span>
            </>
          ) : (
            <>
              <Loader size={14} />
              <span>
                Waiting for the node. The token ends <When at={made.expires_at} />.
              </span>
            </>
          )}
        </div>
      </li>
      <li>
        <h3>See it serve</h3>
        <div className={styles.wait} role="status">
          {done ? (
            <>
              <State state="connected" />
              <span>
                It beats; last <When at={node.seen_at} />. It serves{" "}
                {node.shards.filter((shard) => shard.behind === 0).length} of {node.shards.length} shards.
              </span>
            </>
          ) : (
            <span className="dim">Its first heartbeat comes a moment after it is let in.</span>
          )}
        </div>
      </li>
    </ol>
  );
}
