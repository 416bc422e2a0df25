import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { Facts, Section } from "@/components/Facts";
import { ProblemNote } from "@/components/ProblemNote";
import { Moment, When } from "@/components/When";
import { bytes, count, spoken } from "@/lib/format";
import styles from "@/pages/gateways/Gateway.module.css";

type Node = Schemas["NodeView"];

const HOURS_MAX = "24";
/** A backlog this old is no backlog of a moment. */
const OLD_MS = 60_000;

/** What became of a node's records: what waits there, what counts here, what was lost or refused, and why. */
export function NodeRecords({ node }: { node: Node }) {
  const { records } = node;
  const waiting = node.health?.records;
  const lost = records.dropped.reduce((sum, one) => sum + one.count, 0);
  const refused = records.refused.reduce((sum, one) => sum + one.count, 0);
  const old = waiting?.oldest_at && Date.now() - Date.parse(waiting.oldest_at) > OLD_MS;
  return (
    <Section title="Records of requests">
      <Pair
        facts={[
          ["Count here", count(records.counted)],
          ["Last ones came", <When key="came" at={records.received_at} />],
          [
            "Wait at the node",
            waiting ? (
              <span key="waiting" className={old ? "warn" : undefined}>
                {count(waiting.waiting)} ({bytes(waiting.waiting_bytes)})
                {waiting.oldest_at && (
                  <>
                    , the oldest from <When at={waiting.oldest_at} />
                  </>
                )}
              </span>
            ) : (
              <span key="unknown" className="dim">
                not told
              </span>
            ),
          ],
          ["Came and do not count yet", records.streams_waiting > 0 && `of ${records.streams_waiting} runs of batches`],
          [
            "Told impossible times",
            records.clamped > 0 && `${count(records.clamped)}; they stand under the time they came at`,
          ],
          [
            "Lost at the node",
            <span key="lost" className={lost > 0 ? "bad" : undefined}>
              {count(lost)}
            </span>,
          ],
          [
            "Refused here",
            <span key="refused" className={refused > 0 ? "bad" : undefined}>
              {count(refused)}
            </span>,
          ],
        ].map(([name, value]) => [name as string, value === false ? "none" : value])}
      />
      {(records.dropped.length > 0 || records.refused.length > 0) && (
        <div className={styles.shards}>
          <table>
            <caption>Why</caption>
            <thead>
              <tr>
                <th scope="col">Reason</th>
                <th scope="col">Records</th>
                <th scope="col">First</th>
                <th scope="col">Last</th>
              </tr>
            </thead>
            <tbody>
              {records.dropped.map((one) => (
                <tr key={`lost ${one.reason}`}>
                  <th scope="row">lost: {spoken(one.reason)}</th>
                  <td>{count(one.count)}</td>
                  <td>
                    <Moment at={one.from_at} />
                  </td>
                  <td>
                    <Moment at={one.to_at} />
                  </td>
                </tr>
              ))}
              {records.refused.map((one) => (
                <tr key={`refused ${one.reason}`}>
                  <th scope="row" title={one.detail}>
                    refused: {spoken(one.reason)} <span className="dim">{one.detail}</span>
                  </th>
                  <td>{count(one.count)}</td>
                  <td>—</td>
                  <td>
                    <Moment at={one.last_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {records.dropped.length > 0 && <Drops node={node} />}
    </Section>
  );
}

/** Facts side by side, where there is room. */
function Pair({ facts }: { facts: [name: string, value: ReactNode][] }) {
  const half = Math.ceil(facts.length / 2);
  return (
    <div className={styles.columns}>
      <Facts facts={facts.slice(0, half)} />
      <Facts facts={facts.slice(half)} />
    </div>
  );
}

/** The hours in which records were lost, the newest first. */
function Drops({ node }: { node: Node }) {
  const hours = useQuery({
    queryKey: ["nodes", node.gateway, "drops", node.id],
    queryFn: () =>
      answer(
        api.GET("/api/v1/gateways/{gateway}/nodes/{node}/drops", {
          params: { path: { gateway: node.gateway, node: node.id }, query: { limit: HOURS_MAX } },
        }),
      ),
  });
  if (hours.error) return <ProblemNote error={hours.error} retry={() => void hours.refetch()} />;
  return (
    <Facts
      facts={(hours.data?.data ?? []).map((one) => [
        `${one.hour.slice(0, 16).replace("T", " ")} UTC, ${spoken(one.reason)}`,
        `${count(one.count)} lost`,
      ])}
    />
  );
}
