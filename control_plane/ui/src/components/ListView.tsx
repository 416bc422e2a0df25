import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import type { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { type Column, DataTable } from "@/components/DataTable";
import { EmptyState } from "@/components/EmptyState";
import { FilterBar } from "@/components/FilterBar";
import { WithPeek } from "@/components/PeekPanel";
import { ProblemNote } from "@/components/ProblemNote";
import type { FilterField } from "@/lib/filter";

interface ListViewProps<Row> {
  label: string;
  columns: Column<Row>[];
  fields: readonly FilterField[];
  placeholder: string;
  table: ReturnType<typeof useRows<Row>>;
  rowId: (row: Row) => string;
  /** As the server sorts when nothing is said. */
  sort: string;
  /** What stands there when there is nothing at all. */
  empty: ReactNode;
  /** Right of the filter. */
  beside?: ReactNode;
  status?: ReactNode;
  /** Details of the row that is open; a list without them has rows that do not open. */
  peek?: (row: Row, close: () => void) => ReactNode;
  onOpen?: (id: string) => void;
}

/** A list as every noun has it: filter, table, details; all of its state in the address. */
export function ListView<Row>(props: ListViewProps<Row>) {
  const [search, change] = useAddress();
  const { table, rowId, peek } = props;
  const open = peek && table.rows.find((row) => rowId(row) === search.open);
  const atFilter = table.problem?.pointer === "filter";
  const filter = (
    <FilterBar
      value={search.filter}
      onChange={(next) => change({ filter: next })}
      fields={props.fields}
      placeholder={props.placeholder}
      fault={atFilter ? table.problem?.message : null}
    />
  );
  return (
    <>
      {props.beside ? (
        <div style={{ display: "flex", gap: 10, alignItems: "flex-start" }}>
          <div style={{ flex: 1 }}>{filter}</div>
          {props.beside}
        </div>
      ) : (
        filter
      )}
      {table.problem && !atFilter && <ProblemNote error={table.problem} retry={() => void table.refetch()} />}
      <WithPeek
        list={
          <DataTable
            label={props.label}
            columns={props.columns}
            rows={table.rows}
            rowId={rowId}
            loading={table.loading && !table.problem}
            more={table.more}
            sort={search.sort ?? props.sort}
            onSort={(sort) => change({ sort })}
            openId={search.open}
            onOpen={props.onOpen ? (id) => id && props.onOpen?.(id) : peek ? (id) => change({ open: id }) : undefined}
            shown={search.columns}
            onShown={(columns) => change({ columns })}
            status={props.status}
            empty={
              search.filter ? (
                <EmptyState
                  title="Nothing is like that"
                  acts={
                    <Button variant="default" onClick={() => change({ filter: undefined })}>
                      Show all
                    </Button>
                  }
                >
                  Take a part of the filter away.
                </EmptyState>
              ) : (
                props.empty
              )
            }
          />
        }
        peek={open && peek ? peek(open, () => change({ open: undefined })) : null}
      />
    </>
  );
}
