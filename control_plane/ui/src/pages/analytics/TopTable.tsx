import { Skeleton } from "@mantine/core";
import { IconArrowDown } from "@tabler/icons-react";
import { type Measured, numeric, useMeasures } from "@/app/records";
import { useAddress } from "@/app/search";
import { withUnknown, withWord } from "@/lib/filter";
import { change as changed } from "@/lib/format";
import styles from "@/pages/analytics/Analytics.module.css";
import { nameOf } from "@/pages/analytics/Chart";
import { LeftOut, NotKept } from "@/pages/analytics/Stats";
import { DIMENSIONS, fieldOf, said, withLeftOut } from "@/pages/analytics/tabs";

const SHOWN_MAX = 20;

/** The keys of a dimension with the most of a measure; a press on one shows it alone. */
export function TopTable({ measures, by, compare }: { measures: readonly string[]; by: string; compare: boolean }) {
  const [search, change] = useAddress();
  const sort = measures.includes(search.sort?.replace(/^-/, "") ?? "")
    ? (search.sort?.replace(/^-/, "") ?? "")
    : (measures[0] ?? "requests");
  const asked = useMeasures({ measures: withLeftOut(measures), by, sort: `-${sort}`, limit: SHOWN_MAX, compare });
  const rows = asked.data?.rows ?? [];
  const most = Math.max(...rows.map((row) => numeric(row.values[sort]) ?? 0), 0);
  const named = DIMENSIONS.find((one) => one.value === by)?.label ?? by;
  const show = (key: string | number | boolean | null | undefined) => {
    const field = fieldOf(by);
    const filter =
      key === null || key === undefined
        ? withUnknown(search.filter ?? "", field)
        : withWord(search.filter ?? "", field, String(key));
    change({ filter }, true);
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className={styles.table} tabIndex={0} aria-label={`By ${named}`}>
      <NotKept answer={asked.data} />
      <table>
        <thead>
          <tr>
            <th scope="col">{named}</th>
            {measures.map((measure) => (
              <th
                key={measure}
                scope="col"
                aria-sort={measure === sort ? "descending" : "none"}
                title={said(measure).note}
              >
                <button type="button" className={styles.sorter} onClick={() => change({ sort: `-${measure}` })}>
                  {said(measure).name}
                  {measure === sort && <IconArrowDown size={13} aria-hidden />}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {asked.isPending && (
            <tr>
              <td colSpan={measures.length + 1}>
                <Skeleton height={18} />
              </td>
            </tr>
          )}
          {rows.map((row) => {
            const key = row.key[by];
            return (
              <tr key={String(key)}>
                <th scope="row">
                  <button
                    type="button"
                    className={`${styles.key} clip`}
                    onClick={() => show(key)}
                    title="Show only these"
                  >
                    {nameOf(row, by)}
                  </button>
                  {most > 0 && (
                    <span
                      className={styles.share}
                      style={{ width: `${((numeric(row.values[sort]) ?? 0) / most) * 100}%` }}
                    />
                  )}
                </th>
                <Cells measures={measures} measured={row} />
              </tr>
            );
          })}
          {asked.data?.other && (
            <tr>
              <th scope="row" className="dim">
                all others
              </th>
              <Cells measures={measures} measured={asked.data.other} />
            </tr>
          )}
          {asked.data && rows.length === 0 && (
            <tr>
              <td colSpan={measures.length + 1} className="dim">
                Nothing in this time
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}

function Cells({ measures, measured }: { measures: readonly string[]; measured: Measured }) {
  return measures.map((measure) => {
    const value = numeric(measured.values[measure]);
    const before = measured.previous ? numeric(measured.previous[measure]) : undefined;
    return (
      <td key={measure}>
        {said(measure).format(value)}
        <LeftOut measure={measure} measures={measures} measured={measured} />
        {before !== undefined && <div className="dim">{changed(value, before)}</div>}
      </td>
    );
  });
}
