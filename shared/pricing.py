"""What a call cost (pure): its tokens by class, times the rates that held when it began; docs/money.md.

A rate is an exact integer over a power of ten, so nothing is rounded but each part of a cost, once, half to even, to
whole picodollars. What is not known stays unknown (None); it is never 0.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol, TypeVar

from shared.models.price import Amounts, OwnPrice, Price

COST_PICOUSD_MAX = 10**18 - 1
"""Just under a million dollars, which is also what a column of money holds. More for one call is a junk count."""

_PICOUSD_DIGITS = 6
"""A dollar for a million tokens is 10^6 picodollars for one."""
_DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")
"""As `shared.models.noun.Id`."""
_PROVIDER_CHARS_MAX = 100
_UNKNOWN = -1

Row = TypeVar("Row", Price, OwnPrice)
Charged = tuple[str, str | None, int, int, int, int, int, int, int]
"""A `Cost` in the order in which records tell it: the total stands before its parts."""


class Counts(Protocol):
    """Tokens of one call, none of them negative. Input includes cached and audio ones, output reasoning and audio."""

    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def cache_read_tokens(self) -> int | None: ...
    @property
    def cache_write_tokens(self) -> int | None: ...
    @property
    def reasoning_tokens(self) -> int | None: ...
    @property
    def audio_input_tokens(self) -> int | None: ...
    @property
    def audio_output_tokens(self) -> int | None: ...
    @property
    def batch(self) -> bool: ...


@dataclass(slots=True)  # Frozen, it would cost four times as much to make.
class Cost:
    """In picodollars. The parts do not overlap, and `total` is their sum."""

    price: str
    """Id of the row that the amounts are from: the catalogue's or the organisation's."""
    adjustment: str | None
    """Id of the organisation's row whose multiplier applied."""
    input: int
    """Input tokens not counted elsewhere."""
    output: int
    """Output tokens not counted elsewhere."""
    cache_read: int
    cache_write: int
    reasoning: int
    audio: int
    """In and out."""
    total: int


class Held(NamedTuple):
    """What holds for a model from one midnight to the next change."""

    valid_from: date
    price: str
    adjustment: str | None
    amounts: Amounts
    multiplier: str | None


@dataclass(frozen=True, slots=True)
class _Rates:
    """Picodollars for one token, times `divisor`; _UNKNOWN where not known. Fall-backs are in it already."""

    divisor: int
    whole: bool
    """Every rate but those of audio is known."""
    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    audio_input: int
    audio_output: int


@dataclass(frozen=True, slots=True)
class _Tariff:
    """What one row charges for one kind of calls."""

    price: str
    adjustment: str | None
    input: int
    output: int
    simple: bool
    """For input and output alone these two are all that counts: both are known, and their divisor is 1."""
    rates: _Rates


@dataclass(frozen=True, slots=True)
class _Period:
    from_ms: int
    plain: _Tariff | None
    batch: _Tariff | None
    held: Held | None


class PriceTable:
    """The prices of one view. A model's are compiled when the first call to it is charged, and then kept."""

    __slots__ = ("_catalogue", "_named", "_own", "_rest")

    def __init__(self, catalogue: Mapping[tuple[str, str], Sequence[Price]], own: Iterable[OwnPrice] = ()) -> None:
        """`catalogue`: by provider and model."""
        self._catalogue = catalogue
        self._own: dict[tuple[str, str | None], list[OwnPrice]] = {}
        for row in own:
            self._own.setdefault((row.provider, row.model), []).append(row)
        self._named: dict[tuple[str, str], tuple[_Period, ...]] = {}
        self._rest: dict[str, tuple[_Period, ...]] = {}
        """By provider: for every model that no row names. So a caller's made-up names fill no memory."""

    def cost(self, provider: str, model: str, usage: Counts, at_ms: int) -> Cost | None:
        """What `usage` costs a call that began at `at_ms` (ms since 1970); None: unknown."""
        charged = self.charged(provider, model, usage, at_ms)
        if charged is None:
            return None
        price, adjustment, total, input_, output, read, write, reasoning, audio = charged
        return Cost(price, adjustment, input_, output, read, write, reasoning, audio, total)

    def charged(self, provider: str, model: str, usage: Counts, at_ms: int) -> Charged | None:
        """The same as a tuple, for records: there is one for each call."""
        for period in self._named.get((provider, model)) or self._periods(provider, model):
            if period.from_ms <= at_ms:
                break
        else:
            return None
        tariff = period.batch if usage.batch else period.plain
        input_, output = usage.input_tokens, usage.output_tokens
        if tariff is None or input_ is None or output is None:
            return None
        if not tariff.simple or (
            usage.cache_read_tokens
            or usage.cache_write_tokens
            or usage.reasoning_tokens
            or usage.audio_input_tokens
            or usage.audio_output_tokens
        ):
            return _charge(tariff, usage, input_, output)
        input_, output = input_ * tariff.input, output * tariff.output
        total = input_ + output
        if total > COST_PICOUSD_MAX:
            return None
        return tariff.price, tariff.adjustment, total, input_, output, 0, 0, 0, 0

    def held(self, provider: str, model: str, at_ms: int) -> Held | None:
        """What holds at `at_ms`; None: no price is known."""
        for period in self._periods(provider, model):
            if period.from_ms <= at_ms:
                return period.held
        return None

    def _periods(self, provider: str, model: str) -> tuple[_Period, ...]:
        """Newest first."""
        key = (provider, model)
        if key in self._catalogue or key in self._own:
            periods = self._named.get(key)
            if periods is None:
                prices, own = self._catalogue.get(key, ()), self._own.get(key, ())
                periods = self._named[key] = _compile(key, prices, own, self._own.get((provider, None), ()))
            return periods
        if (provider, None) not in self._own:
            return ()
        periods = self._rest.get(provider)
        if periods is None:
            periods = self._rest[provider] = _compile(key, (), (), self._own[provider, None])
        return periods


def model_id(provider: str, model: str) -> str:
    """Id of a model of the catalogue; a name that fits no id stands in it as its hash."""
    plain = f"{provider}/{model}"
    return plain if _ID.fullmatch(plain) else _hashed_id(provider, model)


def price_id(provider: str, model: str, valid_from: date) -> str:
    """Id of a row of the catalogue, likewise."""
    plain = f"{provider}/{model}@{valid_from}"
    return plain if _ID.fullmatch(plain) else f"{_hashed_id(provider, model)}@{valid_from}"


def is_own(price: str) -> bool:
    """Whether the row that amounts are from is one that the organisation wrote down, by its id."""
    return "/" not in price


def _hashed_id(provider: str, model: str) -> str:
    digest = hashlib.sha256(f"{provider}/{model}".encode()).hexdigest()[:32]
    return f"{provider[:_PROVIDER_CHARS_MAX]}/sha256:{digest}"


def multiplied(amounts: Amounts, multiplier: str | None) -> dict[str, str]:
    """The known amounts by name, exact, with the multiplier in them."""
    known = amounts.model_dump(exclude_none=True)
    return {name: _product(amount, multiplier) for name, amount in known.items()} if multiplier else known


def start_ms(day: date) -> int:
    """Midnight UTC, at which a row begins to hold."""
    return (day.toordinal() - _EPOCH_DAY) * _DAY_MS


def _compile(
    key: tuple[str, str], prices: Sequence[Price], of_model: Sequence[OwnPrice], of_provider: Sequence[OwnPrice]
) -> tuple[_Period, ...]:
    days = {row.valid_from for rows in (prices, of_model, of_provider) for row in rows}
    periods: list[_Period] = []
    for day in sorted(days):
        held = _held(key, day, _newest(prices, day), _newest(of_model, day) or _newest(of_provider, day))
        if periods and _same(held, periods[-1].held):
            continue  # What begins here does not count.
        periods.append(_Period(start_ms(day), held and _plain(held), held and _batch(held), held))
    return tuple(reversed(periods))


def _same(one: Held | None, other: Held | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other._replace(valid_from=one.valid_from)


def _product(one: str, other: str) -> str:
    """Of two decimal numbers, with every digit and no zero too many."""
    (left, left_places), (right, right_places) = _decimal(one), _decimal(other)
    places = left_places + right_places
    digits = str(left * right).rjust(places + 1, "0")
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _newest(rows: Sequence[Row], day: date) -> Row | None:
    begun = [row for row in rows if row.valid_from <= day]
    return max(begun, key=lambda row: row.valid_from) if begun else None


def _held(key: tuple[str, str], day: date, price: Price | None, own: OwnPrice | None) -> Held | None:
    """One row of the organisation's counts, whole: the model's own before the provider's, the newest of these."""
    multiplier = None if own is None else own.multiplier
    adjustment = own.id if own is not None and multiplier is not None else None
    if own is not None and own.amounts is not None:
        held = Held(day, own.id, adjustment, own.amounts, multiplier)
    elif price is not None:
        held = Held(day, price_id(*key, price.valid_from), adjustment, price.amounts, multiplier)
    else:
        return None
    return None if held.amounts == Amounts() else held


def _plain(held: Held) -> _Tariff | None:
    amounts = held.amounts
    return _tariff(
        held,
        amounts.input_usd_per_mtok,
        amounts.output_usd_per_mtok,
        amounts.cache_read_usd_per_mtok or amounts.input_usd_per_mtok,
        amounts.cache_write_usd_per_mtok or amounts.input_usd_per_mtok,
        amounts.reasoning_usd_per_mtok or amounts.output_usd_per_mtok,
        amounts.audio_in_usd_per_mtok,
        amounts.audio_out_usd_per_mtok,
    )


def _batch(held: Held) -> _Tariff | None:
    """No price list tells more of a batch than input and output."""
    input_, output = held.amounts.batch_input_usd_per_mtok, held.amounts.batch_output_usd_per_mtok
    return _tariff(held, input_, output, input_, input_, output, None, None)


def _tariff(held: Held, *amounts: str | None) -> _Tariff | None:
    """None: not one of these amounts is known, so nothing can be charged, not even no tokens."""
    factor, places = _decimal(held.multiplier or "1")
    exact = [None if amount is None else _decimal(amount) for amount in amounts]
    known = [decimals for decimals in exact if decimals is not None]
    if not known:
        return None
    shift = max(_PICOUSD_DIGITS, places + max(decimals for _, decimals in known))
    rates = [
        _UNKNOWN if number is None else number[0] * factor * 10 ** (shift - places - number[1]) for number in exact
    ]
    divisor, (input_, output, *_) = 10 ** (shift - _PICOUSD_DIGITS), rates
    simple = divisor == 1 and _UNKNOWN not in (input_, output)
    return _Tariff(
        held.price, held.adjustment, input_, output, simple, _Rates(divisor, _UNKNOWN not in rates[:5], *rates)
    )


def _decimal(text: str) -> tuple[int, int]:
    """`0.150` is 15 and 2: a whole number, and how many of its digits stand behind the point."""
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    return int(whole + decimals), len(decimals)


def _charge(tariff: _Tariff, usage: Counts, input_: int, output: int) -> Charged | None:
    """What more than input and output alone comes to. Written out rather than looped over: many calls have more."""
    rates = tariff.rates
    read, write, reasoning = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0, usage.reasoning_tokens or 0
    audio_in, audio_out = usage.audio_input_tokens or 0, usage.audio_output_tokens or 0
    input_ -= read + write + audio_in
    output -= reasoning + audio_out
    if input_ < 0 or output < 0:  # More of a part than of the whole: nobody can say which count is wrong.
        return None
    if not rates.whole and (
        (input_ and rates.input < 0)
        or (output and rates.output < 0)
        or (read and rates.cache_read < 0)
        or (write and rates.cache_write < 0)
        or (reasoning and rates.reasoning < 0)
    ):
        return None
    audio = 0
    if audio_in or audio_out:
        if (audio_in and rates.audio_input < 0) or (audio_out and rates.audio_output < 0):
            return None
        audio = audio_in * rates.audio_input + audio_out * rates.audio_output
    input_, output = input_ * rates.input, output * rates.output
    read, write, reasoning = read * rates.cache_read, write * rates.cache_write, reasoning * rates.reasoning
    divisor = rates.divisor
    if divisor != 1:
        input_, output = _rounded(input_, divisor), _rounded(output, divisor)
        read, write = _rounded(read, divisor), _rounded(write, divisor)
        reasoning, audio = _rounded(reasoning, divisor), _rounded(audio, divisor)
    total = input_ + output + read + write + reasoning + audio
    if total > COST_PICOUSD_MAX:
        return None
    return tariff.price, tariff.adjustment, total, input_, output, read, write, reasoning, audio


def _rounded(numerator: int, divisor: int) -> int:
    """Half to even."""
    whole, rest = divmod(numerator, divisor)
    return whole + (2 * rest + (whole & 1) > divisor)
