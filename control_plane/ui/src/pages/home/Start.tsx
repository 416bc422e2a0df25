import { Button } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { lists, useExample, useGatewayUrl } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { KEPT, useAddress } from "@/app/search";
import { useRights, useWorkspace } from "@/app/workspace";
import { CodeTabs, callSnippets } from "@/components/CodeTabs";
import styles from "@/pages/home/Start.module.css";

const REFRESH_MS = 4_000;
const ONE = { limit: "1" };

interface Step {
  title: string;
  text: ReactNode;
  done: boolean;
  to?: string;
  act?: string;
  more?: ReactNode;
}

/** The way to the first call. Each step ticks itself as soon as what it asks for is there. */
export function Start({ answered }: { answered?: boolean }) {
  const { admin } = useRights();
  const { workspace } = useWorkspace();
  const [search] = useAddress();
  const gatewayUrl = useGatewayUrl();
  const here = { enabled: workspace !== undefined, refetchMs: REFRESH_MS };
  const gateways = useRows(["gateways"], lists.gateways, {}, { enabled: admin, refetchMs: REFRESH_MS });
  const virtualKeys = useRows(["virtual-keys", workspace?.id], lists.virtualKeys(workspace?.id ?? ""), ONE, here);
  const apiKeys = useRows(
    ["api-keys", workspace?.id],
    lists.apiKeys(workspace?.id ?? ""),
    { ...ONE, filter: "state:active" },
    here,
  );
  const model = useExample(workspace?.id).named;
  const kept = Object.fromEntries(KEPT.map((name) => [name, search[name]]));
  const steps: Step[] = [
    ...(admin
      ? [
          {
            title: "Make a workspace",
            text: "Keys and configs live in one.",
            done: workspace !== undefined,
            to: "/workspaces",
            act: "Make a workspace",
          },
          {
            title: "Connect a gateway",
            text: "It stands in your network, dials out to here, and carries every call.",
            done: gateways.rows.some((gateway) => gateway.nodes_connected > 0),
            to: "/gateways",
            act: "Register a gateway",
          },
        ]
      : []),
    {
      title: "Add a provider's key",
      text: "Stored once, sealed, named by a slug.",
      done: virtualKeys.rows.length > 0,
      to: "/virtual-keys",
      act: "Add a virtual key",
    },
    {
      title: "Make an API key",
      text: "With it your application calls the gateway.",
      done: apiKeys.rows.length > 0,
      to: "/api-keys",
      act: "Make an API key",
    },
    ...(answered === undefined
      ? []
      : [
          {
            title: "Send the first request",
            text: answered ? "The first request came." : "Waiting for the first request…",
            done: answered,
            more: <CodeTabs snippets={callSnippets(gatewayUrl, "gh_…", model)} />,
          },
        ]),
  ];
  const next = steps.findIndex((step) => !step.done);
  return (
    <ol className={styles.steps} aria-label="First steps">
      {steps.map((step, index) => (
        <li
          key={step.title}
          className={styles.step}
          data-done={step.done || undefined}
          data-next={index === next || undefined}
        >
          <span className={styles.mark} aria-hidden>
            {step.done ? <IconCheck size={15} /> : index + 1}
          </span>
          <div className={styles.text}>
            <div className={styles.title}>
              {step.title}
              <span className={styles.said}>{step.done ? " (done)" : ""}</span>
            </div>
            <div className="dim">{step.text}</div>
            {index === next && step.more && <div className={styles.more}>{step.more}</div>}
          </div>
          {!step.done && step.to && (
            <Button
              component={Link}
              to={step.to}
              search={kept as never}
              variant={index === next ? "filled" : "default"}
              size="xs"
            >
              {step.act}
            </Button>
          )}
        </li>
      ))}
    </ol>
  );
}
