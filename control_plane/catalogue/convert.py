"""A table of model facts (CSV) to catalogue entries (pure). Prices that were there before stay, as history."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from control_plane.catalogue.catalogue import Entry
from shared.models.price import Amounts, Price

_WRITES_NOTHING = ("embedding", "rerank")


def convert(lines: Iterable[str], before: Sequence[Entry], valid_from: date) -> list[Entry]:
    """`lines`: the CSV's, head line first. A price that differs from its last one holds from `valid_from`.

    Raises KeyError for a column that is missing, ValueError for a value that is none.
    """
    history = {(entry.provider, entry.name): entry.prices for entry in before}
    return [_entry(row, history, valid_from) for row in csv.DictReader(lines)]


def _entry(
    row: Mapping[str, str],
    history: Mapping[tuple[str, str], tuple[Price, ...]],
    valid_from: date,
) -> Entry:
    provider, name = row["provider"], row["model"]
    return Entry(
        provider=provider,
        name=name,
        type=row["mode"],
        context_tokens=_count(row["context_tokens"]),
        output_tokens_max=_count(row["max_output_tokens"]),
        abilities=tuple(sorted(row["capabilities"].split())),
        retires_on=date.fromisoformat(row["retires_on"]) if row["retires_on"] else None,
        prices=_prices(
            history.get((provider, name), ()), _amounts(row, writes=row["mode"] not in _WRITES_NOTHING), valid_from
        ),
    )


def _prices(before: tuple[Price, ...], now: Amounts, valid_from: date) -> tuple[Price, ...]:
    last = before[-1].amounts if before else Amounts()
    if now == last:
        return before
    return (*(price for price in before if price.valid_from < valid_from), Price(valid_from=valid_from, amounts=now))


def _amounts(row: Mapping[str, str], *, writes: bool) -> Amounts:
    """Tables of prices write 0 also where they know nothing: without one amount above 0, the price is unknown. So is a
    0 beside such an amount of a model that writes: it is sold by the piece, or the table tells only what comes on top.
    """
    given = {name: Decimal(row[name]) for name in Amounts.model_fields if row[name]}
    if not any(given.values()):
        return Amounts()
    return Amounts(**{name: _plain(amount) for name, amount in given.items() if amount or not writes})


def _plain(amount: Decimal) -> str:
    """Without exponent and trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _count(text: str) -> int | None:
    return int(text) if text and int(text) > 0 else None
