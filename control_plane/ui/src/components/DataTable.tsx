import { ActionIcon, Checkbox, Menu, Skeleton, Tooltip } from "@mantine/core";
import { useElementSize, useMergedRef } from "@mantine/hooks";
import { IconArrowDown, IconArrowUp, IconBaselineDensitySmall, IconColumns3 } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  memo,
  type PointerEvent,
  type ReactNode,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { useKeys } from "@/app/keys";
import {
  fitting,
  template as gridTemplate,
  least,
  useWidths,
  WIDTH_PX_MAX,
  WIDTH_PX_MIN,
  type Widths,
} from "@/components/columns";
import styles from "@/components/DataTable.module.css";

export interface Column<Row> {
  id: string;
  header: string;
  cell: (row: Row) => ReactNode;
  /** At least so many pixels; what is left over is shared by `grow`. */
  width: number;
  grow?: number;
  numeric?: boolean;
  /** Name of the field the server sorts by. */
  sort?: string;
  /** Shown only when chosen. */
  optional?: boolean;
  /** What the header says on hover. */
  note?: string;
}

interface DataTableProps<Row> {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowId: (row: Row) => string;
  loading?: boolean;
  /** Loads the next page; null when all is there. */
  more?: (() => void) | null;
  sort?: string;
  onSort?: (sort: string) => void;
  openId?: string;
  onOpen?: (id: string | undefined) => void;
  /** Ids of columns, by comma; undefined: the usual ones. */
  shown?: string;
  onShown?: (columns: string | undefined) => void;
  empty: ReactNode;
  /** What stands left of the column chooser: counts, a live badge. */
  status?: ReactNode;
}

const ROW_PX = 40;
const DENSE_ROW_PX = 30;
const OVERSCAN_ROWS = 6;
/** How much before the end more is asked for. */
const AHEAD_ROWS = 60;
const STEP_PX = 16;
const SKELETONS = 8;
const DENSITY = "gatehouse.dense";

/** A list of any length: only what is seen is drawn. `j` and `k` move, Enter opens, also while details are open. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { columns, rows, rowId, more, openId, onOpen, sort, onSort } = props;
  const [dense, setDense] = useState(localStorage.getItem(DENSITY) === "yes");
  const scroller = useRef<HTMLDivElement>(null);
  const [current, setCurrent] = useState(0);
  const chosen = useMemo(() => new Set(props.shown?.split(",")), [props.shown]);
  const room = useElementSize();
  const scrolled = useMergedRef(scroller, room.ref);
  const [widths, setWidths] = useWidths(props.label);
  // Columns that somebody chose are all there; of the usual ones those for which there is room.
  const visible = useMemo(() => {
    if (props.shown) return columns.filter((column) => chosen.has(column.id));
    const usual = columns.filter((column) => !column.optional);
    return room.width > 0 ? fitting(usual, widths, room.width) : usual;
  }, [columns, chosen, props.shown, widths, room.width]);
  const rowPx = dense ? DENSE_ROW_PX : ROW_PX;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    overscan: OVERSCAN_ROWS,
    // Drawn with the next frame: rows drawn in the middle of a scroll event would hold the scrolling up.
    useFlushSync: false,
  });
  useEffect(() => virtual.measure(), [rowPx, virtual]);
  const items = virtual.getVirtualItems();
  const last = items[items.length - 1]?.index ?? 0;
  useEffect(() => {
    if (more && rows.length > 0 && last >= rows.length - AHEAD_ROWS) more();
  }, [more, last, rows.length]);

  const go = (to: number) => {
    const index = Math.max(0, Math.min(rows.length - 1, to));
    const row = rows[index];
    if (row === undefined) return;
    setCurrent(index);
    virtual.scrollToIndex(index);
    if (openId !== undefined && onOpen) onOpen(rowId(row));
    requestAnimationFrame(() => {
      scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus({ preventScroll: true });
    });
  };
  const open = useCallback(
    (index: number) => {
      const row = rows[index];
      if (row === undefined || !onOpen) return;
      setCurrent(index);
      onOpen(rowId(row) === openId ? undefined : rowId(row));
    },
    [rows, onOpen, rowId, openId],
  );
  useKeys("List", [
    { keys: "j", label: "Next row", run: () => go(focused() ? current + 1 : current) },
    { keys: "k", label: "Previous row", run: () => go(focused() ? current - 1 : current) },
    ...(onOpen ? [{ keys: "Enter", label: "Open details", run: () => open(current) }] : []),
  ]);
  const focused = () => document.activeElement?.hasAttribute("data-index") ?? false;
  const pressed = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key];
    if (step === undefined || !focused()) return;
    event.preventDefault();
    go(current + step);
  };

  const template = gridTemplate(visible, widths);
  const minWidth = least(visible, widths);
  const resize = (id: string, px: number, now: Widths) => setWidths({ ...now, [id]: px });
  return (
    <div className={styles.frame}>
      <div className={styles.scroller} ref={scrolled} onKeyDown={pressed} tabIndex={-1}>
        <div
          className={styles.inner}
          style={{ minWidth }}
          role="grid"
          aria-label={props.label}
          aria-rowcount={more ? -1 : rows.length + 1}
        >
          <div role="row" className={styles.head} style={{ gridTemplateColumns: template }}>
            {visible.map((column) => (
              <Head
                key={column.id}
                column={column}
                sort={sort}
                onSort={onSort}
                onWidth={(px, now) => (px === null ? setWidths(null) : resize(column.id, px, now))}
              />
            ))}
          </div>
          {rows.length > 0 && (
            <div className={styles.rows} style={{ height: virtual.getTotalSize() }} role="presentation">
              {items.map((item) => {
                const row = rows[item.index];
                if (row === undefined) return null;
                const id = rowId(row);
                return (
                  <Line
                    key={id}
                    row={row}
                    columns={visible as Column<unknown>[]}
                    index={item.index}
                    top={item.start}
                    height={rowPx}
                    template={template}
                    open={id === openId}
                    reachable={item.index === Math.min(current, rows.length - 1)}
                    onOpen={onOpen ? open : undefined}
                  />
                );
              })}
            </div>
          )}
        </div>
        {props.loading && <Skeletons />}
        {!props.loading && rows.length === 0 && props.empty}
      </div>
      <div className={styles.foot}>
        <span className="numbers">
          {props.loading
            ? "Loading…"
            : more
              ? `over ${rows.length.toLocaleString("en-US")} rows`
              : `${rows.length.toLocaleString("en-US")} ${rows.length === 1 ? "row" : "rows"}`}
        </span>
        {props.status}
        <span className={styles.spring} />
        <Tooltip label={dense ? "Comfortable rows" : "Dense rows"}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label="Dense rows"
            aria-pressed={dense}
            onClick={() => {
              localStorage.setItem(DENSITY, dense ? "no" : "yes");
              setDense(!dense);
            }}
          >
            <IconBaselineDensitySmall size={15} />
          </ActionIcon>
        </Tooltip>
        {props.onShown && (
          <Chooser columns={columns} visible={visible} chosen={props.shown !== undefined} onShown={props.onShown} />
        )}
      </div>
    </div>
  );
}

interface LineProps {
  row: unknown;
  columns: Column<unknown>[];
  index: number;
  top: number;
  height: number;
  template: string;
  open: boolean;
  reachable: boolean;
  onOpen: ((index: number) => void) | undefined;
}

const Line = memo(function Line({ row, columns, index, top, height, template, open, reachable, onOpen }: LineProps) {
  return (
    <div
      role="row"
      className={styles.row}
      data-index={index}
      data-open={open || undefined}
      data-can-open={onOpen ? true : undefined}
      aria-rowindex={index + 2}
      aria-selected={onOpen ? open : undefined}
      tabIndex={reachable ? 0 : -1}
      style={{ transform: `translateY(${top}px)`, height, gridTemplateColumns: template }}
      onClick={(event) => {
        // A press on something inside of the row is meant for that.
        if (!(event.target as Element).closest("a, button, input")) onOpen?.(index);
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || event.target !== event.currentTarget) return;
        event.preventDefault();
        onOpen?.(index);
      }}
    >
      {columns.map((column) => (
        <div key={column.id} role="gridcell" className={column.numeric ? styles.number : styles.cell}>
          {column.cell(row)}
        </div>
      ))}
    </div>
  );
});

interface HeadProps<Row> {
  column: Column<Row>;
  sort: string | undefined;
  onSort: ((sort: string) => void) | undefined;
  onWidth: Pull;
}

/** A new width, and those of the columns left of it, which stay as they are; null: the usual ones again. */
type Pull = (px: number | null, now: Widths) => void;

function Head<Row>({ column, sort, onSort, onWidth }: HeadProps<Row>) {
  const side = `${column.numeric ? styles.number : styles.cell} ${styles.headCell}`;
  const handle = column.header && <Handle column={column} onWidth={onWidth} />;
  if (!column.sort || !onSort) {
    return (
      <div role="columnheader" className={side} title={column.note} data-column={column.id}>
        <span className="clip">{column.header}</span>
        {handle}
      </div>
    );
  }
  const up = sort === column.sort;
  const down = sort === `-${column.sort}`;
  return (
    <div
      role="columnheader"
      className={side}
      title={column.note}
      data-column={column.id}
      aria-sort={up ? "ascending" : down ? "descending" : "none"}
    >
      <button
        type="button"
        className={styles.sorter}
        onClick={() => onSort(down ? (column.sort ?? "") : `-${column.sort}`)}
      >
        {column.header}
        {up && <IconArrowUp size={13} aria-hidden />}
        {down && <IconArrowDown size={13} aria-hidden />}
      </button>
      {handle}
    </div>
  );
}

/** The right edge of a header: pulled, or moved with the arrow keys; pressed twice, all columns are as usual again. */
function Handle<Row>({ column, onWidth }: { column: Column<Row>; onWidth: Pull }) {
  const [px, setPx] = useState(column.width);
  const measured = (edge: HTMLElement) => {
    const head = edge.parentElement as HTMLElement;
    const now: Record<string, number> = {};
    for (const cell of head.parentElement?.children ?? []) {
      if (!(cell instanceof HTMLElement) || !cell.dataset.column) continue;
      now[cell.dataset.column] = cell.offsetWidth;
      if (cell === head) break;
    }
    return { now, widthPx: head.offsetWidth };
  };
  const pulled = (event: PointerEvent<HTMLElement>) => {
    const edge = event.currentTarget;
    const { now, widthPx } = measured(edge);
    const fromPx = event.clientX;
    edge.setPointerCapture(event.pointerId);
    edge.onpointermove = (move) => onWidth(widthPx + move.clientX - fromPx, now);
    edge.onlostpointercapture = () => {
      edge.onpointermove = null;
    };
  };
  const pressed = (event: KeyboardEvent<HTMLElement>) => {
    const step = { ArrowLeft: -STEP_PX, ArrowRight: STEP_PX }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const { now, widthPx } = measured(event.currentTarget);
    onWidth(widthPx + step, now);
  };
  return (
    <span
      role="separator"
      aria-orientation="vertical"
      aria-label={`Width of ${column.header}`}
      aria-valuemin={WIDTH_PX_MIN}
      aria-valuemax={WIDTH_PX_MAX}
      aria-valuenow={px}
      tabIndex={0}
      className={styles.handle}
      onFocus={(event) => setPx(measured(event.currentTarget).widthPx)}
      onPointerDown={pulled}
      onDoubleClick={() => onWidth(null, {})}
      onKeyDown={pressed}
    />
  );
}

interface ChooserProps<Row> {
  columns: Column<Row>[];
  visible: Column<Row>[];
  chosen: boolean;
  onShown: (columns: string | undefined) => void;
}

function Chooser<Row>({ columns, visible, chosen, onShown }: ChooserProps<Row>) {
  const now = new Set(visible.map((column) => column.id));
  const toggle = (id: string) => {
    const next = columns.filter((column) => (column.id === id ? !now.has(id) : now.has(column.id)));
    if (next.length === 0) return;
    const usual = columns.filter((column) => !column.optional);
    const same = next.length === usual.length && next.every((column, index) => column.id === usual[index]?.id);
    onShown(same ? undefined : next.map((column) => column.id).join(","));
  };
  const hidden = chosen ? 0 : columns.filter((column) => !column.optional).length - visible.length;
  return (
    <Menu closeOnItemClick={false} position="top-end">
      <Menu.Target>
        <Tooltip label={hidden > 0 ? `Columns; there is no room for ${hidden} of the usual ones` : "Columns"}>
          <ActionIcon variant="subtle" color="gray" size="sm" aria-label="Choose columns">
            <IconColumns3 size={15} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown className={styles.chooser}>
        {columns.map((column) => (
          <Menu.Item
            key={column.id}
            onClick={() => toggle(column.id)}
            role="menuitemcheckbox"
            aria-checked={now.has(column.id)}
          >
            <Checkbox
              size="xs"
              readOnly
              tabIndex={-1}
              aria-hidden
              checked={now.has(column.id)}
              label={column.header}
              styles={{ body: { pointerEvents: "none" } }}
            />
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Skeletons() {
  return (
    <div className={styles.skeletons} aria-hidden>
      {Array.from({ length: SKELETONS }, (_, index) => (
        <Skeleton key={index} height={16} radius="sm" />
      ))}
    </div>
  );
}
