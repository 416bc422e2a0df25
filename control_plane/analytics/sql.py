"""A question as SQL: the pieces it is answered from, brought to the same columns, then summed.

Values stand in parameters only. Of what is summed, `k0`, `k1`, … are the dimensions, `c_…` what measures are made of,
`t` the step, as where it begins in milliseconds since 1970. Pure.
"""

from collections.abc import Mapping, Sequence

from control_plane.analytics import sources
from control_plane.analytics.dimensions import Dimension
from control_plane.analytics.measures import COLUMNS, Family, Measure, bucket_of
from control_plane.analytics.question import Key, Question, Visible
from control_plane.analytics.sources import HOURS, MINUTES, RECORD, SPREAD, SPREAD_OF_WORKSPACES, Kept, Piece
from control_plane.analytics.times import Range
from control_plane.filters import clickhouse, columns
from control_plane.filters.clickhouse import Parameters

QUANTILES = (0.5, 0.9, 0.95, 0.99)
SPREADS: Mapping[int, str] = {1: "duration", 2: "first_byte", 3: "overhead"}
"""What a spread is of, as the enumeration of `record_spread` numbers it: a number is grouped by faster than a word."""

Asked = tuple[str, Parameters]

_NUMBERS = {name: number for number, name in SPREADS.items()}
_FILTERS: Mapping[str, Mapping[str, str]] = {
    RECORD: columns.RECORD,
    MINUTES: columns.SUMS,
    HOURS: columns.SUMS,
    SPREAD: columns.SPREAD,
    SPREAD_OF_WORKSPACES: columns.SPREAD_OF_WORKSPACES,
}
_ROLL_UPS: Mapping[Family, tuple[str, ...]] = {
    Family.SUMS: (HOURS, MINUTES),
    Family.SPREAD: (SPREAD_OF_WORKSPACES, SPREAD),
    Family.RECORDS: (),
}


def visible(of: Visible, parameters: Parameters) -> list[str]:
    """What every statement about records begins with: whose they are, and of which workspaces."""
    found = [f"organisation = {parameters.add(of.organisation, 'String')}"]
    if of.workspaces is not None:
        found.append(f"workspace in {parameters.add(list(of.workspaces), 'Array(String)')}")
    return found


def pieces(question: Question, family: Family, kept: Kept) -> tuple[Piece, ...]:
    """Of roll-ups only those that have every dimension and every field of the filter."""
    fields = {condition.field.name for condition in question.filter.conditions}
    tables = [
        table
        for table in _ROLL_UPS[family]
        if fields <= _FILTERS[table].keys() and all(_rolled_up(d, table) is not None for d in question.dimensions)
    ]
    return sources.pieces(question.range, question.points, tables, kept)


def top(question: Question, measure: Measure, found: Sequence[Piece], limit: int, *, descending: bool) -> Asked:
    """The keys with the most of a measure, or the least, as `k0`, `k1`, …; one more than `limit`, if there are."""
    parameters = Parameters()
    keys = ", ".join(_keys(question))
    source = _source(question, (measure,), found, (), parameters)
    most = f"quantileExactWeighted({measure.sql})(c_bucket, c_requests)"
    ordered = most if measure.family is Family.SPREAD else measure.sql
    direction = "desc" if descending else "asc"
    sql = (
        f"select {keys} from ({source}) group by {keys}"  # noqa: S608
        f" order by {ordered} {direction} nulls last, {keys} limit {limit + 1}"
    )
    return sql, parameters


def keys(question: Question, found: Sequence[Piece]) -> Asked:
    """How many `keys` there are."""
    parameters = Parameters()
    source = _source(question, (), found, (), parameters)
    return f"select uniqExact({', '.join(_keys(question))}) as keys from ({source})", parameters  # noqa: S608


def totals(question: Question, family: Family, found: Sequence[Piece], shown: Sequence[Key] | None) -> Asked:
    """The measures of one family: of everything, of each key shown, of all others together; and each step of these.

    Where there are dimensions a row has `s0`, `s1`, … and `is_shown`, 0 for all others; `all_keys` is 1 for everything.
    Where there are steps it has `t`; `all_points` is 1 for the whole range. `shown` is None if every key is.
    """
    parameters = Parameters()
    measures = question.of(family)
    starts = [sources.ms(point) for point in question.points]
    source = _source(question, measures, found, starts, parameters)
    selected: list[str] = []
    always: list[str] = []
    by_key: list[str] = []
    if family is Family.SPREAD:
        always.append("c_measure")
        levels = ", ".join(map(str, QUANTILES))
        selected += ["c_measure", f"quantilesExactWeighted({levels})(c_bucket, c_requests) as quantiles"]
    else:
        selected += [f"{measure.sql} as {measure.name}" for measure in measures]
    if question.dimensions:
        keys = _keys(question)
        by_key = ["is_shown", *(f"s{number}" for number in range(len(keys)))]
        selected.append(f"{_among(keys, shown, parameters)} as is_shown")
        selected += [f"if(is_shown, {key}, '') as s{number}" for number, key in enumerate(keys)]
        selected.append("grouping(is_shown) as all_keys")
    if starts:
        selected += ["t", "grouping(t) as all_points"]
    sets = [
        [*always, *keys, *steps]
        for keys in ([by_key, []] if by_key else [[]])
        for steps in ([["t"], []] if starts else [[]])
    ]
    grouped = ", ".join(f"({', '.join(names)})" for names in sets)
    by = f" group by grouping sets ({grouped})" if len(sets) > 1 or always else ""
    return f"select {', '.join(selected)} from ({source}){by}", parameters  # noqa: S608


def metadata_keys(of: Visible, asked: Range, begins: str, limit: int) -> Asked:
    """Keys of the metadata that begin so, as `k`, and how many `requests` had them; the most frequent ones first."""
    parameters = Parameters()
    where = [*visible(of, parameters), *_between("started_at", sources.of_records(asked), parameters)]
    begin = parameters.add(begins, "String")
    sql = (
        f"select arrayJoin(mapKeys(metadata)) as k, count() as requests from record where {' and '.join(where)}"  # noqa: S608
        f" group by k having startsWith(k, {begin}) order by requests desc, k limit {limit}"
    )
    return sql, parameters


def _keys(question: Question) -> list[str]:
    return [f"k{number}" for number in range(len(question.dimensions))]


def _among(keys: Sequence[str], shown: Sequence[Key] | None, parameters: Parameters) -> str:
    """Whether a row's key is one of those shown."""
    if shown is None:
        return "true"
    if len(keys) == 1:
        return f"{keys[0]} in {parameters.add([key[0] for key in shown], 'Array(String)')}"
    type_ = f"Array(Tuple({', '.join(['String'] * len(keys))}))"
    return f"({', '.join(keys)}) in {parameters.add(list(shown), type_)}"


def _source(
    question: Question, measures: Sequence[Measure], found: Sequence[Piece], starts: Sequence[int], into: Parameters
) -> str:
    """All pieces together. Those of spreads are summed by bucket first: many rows are faster added up than ranked."""
    source = " union all ".join(_piece(question, measures, piece, starts, into) for piece in found)
    if not any(measure.spread for measure in measures):
        return source
    names = ["c_measure", "c_bucket", *_keys(question), *(["t"] if starts else [])]
    return f"select {', '.join(names)}, sum(n) as c_requests from ({source}) group by {', '.join(names)}"  # noqa: S608


def _piece(
    question: Question, measures: Sequence[Measure], piece: Piece, starts: Sequence[int], parameters: Parameters
) -> str:
    """The rows of one table, with the columns that all pieces have."""
    table, where = piece.table, visible(question.visible, parameters)
    at = "started_at" if table == RECORD else "at"
    where += _between(at, piece, parameters)
    where += clickhouse.conditions(question.filter, _FILTERS[table], parameters)
    selected = [f"{_key(d, table, parameters)} as k{number}" for number, d in enumerate(question.dimensions)]
    if starts:
        began = f"toUnixTimestamp64Milli({at})" if table == RECORD else f"toUnixTimestamp({at}) * 1000"
        selected.append(f"roundDown(toInt64({began}), {parameters.add(list(starts), 'Array(Int64)')}) as t")
    spreads = sorted({measure.spread for measure in measures} - {""})
    if spreads and table == RECORD:
        took = ", ".join(f"({_NUMBERS[spread]}, {spread}_us)" for spread in spreads)
        table = f"{RECORD} array join [{took}] as took"
        where.append("took.2 is not null")
        bucket = bucket_of("assumeNotNull(took.2)")
        selected += ["toInt8(took.1) as c_measure", f"{bucket} as c_bucket", "toUInt64(1) as n"]
    elif spreads:
        where.append("measure in ({})".format(", ".join(map(repr, spreads))))
        selected += ["toInt8(measure) as c_measure", "bucket as c_bucket", "requests as n"]
    else:
        selected += [_column(name, table) for name in sorted(set().union(*(m.columns for m in measures)))]
    return f"select {', '.join(selected)} from {table} where {' and '.join(where)}"  # noqa: S608


def _rolled_up(dimension: Dimension, table: str) -> str | None:
    if table == SPREAD_OF_WORKSPACES:
        return columns.SPREAD_OF_WORKSPACES.get(dimension.name)
    return dimension.spread if table == SPREAD else dimension.sums


def _key(dimension: Dimension, table: str, parameters: Parameters) -> str:
    if table == RECORD:
        return dimension.in_record(parameters)
    sql = _rolled_up(dimension, table)
    assert sql is not None
    return sql


def _column(name: str, table: str) -> str:
    rolled_up, of_record = COLUMNS[name]
    return f"{of_record if table == RECORD else rolled_up} as c_{name}"


def _between(at: str, piece: Piece, parameters: Parameters) -> list[str]:
    start, end = (_instant(ms, piece.table, parameters) for ms in (piece.start_ms, piece.end_ms))
    return [f"{at} >= {start}", f"{at} < {end}"]


def _instant(ms: int, table: str, parameters: Parameters) -> str:
    given = parameters.add(ms, "Int64")
    if table == RECORD:
        return f"fromUnixTimestamp64Milli({given}, 'UTC')"
    return f"toDateTime(intDiv({given}, 1000), 'UTC')"
