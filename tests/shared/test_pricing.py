"""What a call costs: each rule by its name, and every sum once more by fractions."""

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.models.noun import Id
from shared.models.price import Amounts, OwnPrice, Price
from shared.pricing import COST_PICOUSD_MAX, Cost, PriceTable, multiplied, price_id, start_ms

DAY = date(2026, 11, 21)
NOW = start_ms(DAY) + 1
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Counted:
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    batch: bool = False


AMOUNT_TEXT = st.from_regex(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,20})?", fullmatch=True)
MULTIPLIER_TEXT = st.from_regex(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,12})?", fullmatch=True)
PLAIN = Counted(input_tokens=1_000, output_tokens=10)


def catalogue(*prices: Price) -> dict[tuple[str, str], tuple[Price, ...]]:
    return {("openai", "gpt"): prices}


def row(valid_from: date = DAY, **amounts: str) -> Price:
    return Price(valid_from=valid_from, amounts=Amounts(**amounts))


def own(id_: str, **fields_: object) -> OwnPrice:
    return OwnPrice.model_validate({"id": id_, "provider": "openai", "valid_from": DAY, **fields_})


def charged(usage: Counted, *rows: OwnPrice, at_ms: int = NOW, **amounts: str) -> Cost | None:
    return PriceTable(catalogue(row(**amounts)), rows).cost("openai", "gpt", usage, at_ms)


def known(cost: Cost | None) -> Cost:
    assert cost is not None
    return cost


# What is known ------------------------------------------------------------------------------------------------------


def test_a_call_costs_its_tokens_times_the_rates_in_picodollars() -> None:
    cost = known(charged(PLAIN, input_usd_per_mtok="0.15", output_usd_per_mtok="0.6"))
    assert cost == Cost("openai/gpt@2026-11-21", None, 150_000_000, 6_000_000, 0, 0, 0, 0, 156_000_000)


def test_each_class_has_its_own_rate_and_is_counted_once() -> None:
    usage = Counted(100, 50, 30, 20, 10, 7, 5)
    cost = charged(
        usage,
        input_usd_per_mtok="1",
        output_usd_per_mtok="2",
        cache_read_usd_per_mtok="0.1",
        cache_write_usd_per_mtok="1.25",
        reasoning_usd_per_mtok="3",
        audio_in_usd_per_mtok="10",
        audio_out_usd_per_mtok="20",
    )
    assert cost == Cost(
        "openai/gpt@2026-11-21",
        None,
        input=43_000_000,
        output=70_000_000,
        cache_read=3_000_000,
        cache_write=25_000_000,
        reasoning=30_000_000,
        audio=170_000_000,
        total=341_000_000,
    )


def test_reasoning_is_charged_as_output_where_it_has_no_rate() -> None:
    usage = replace(PLAIN, reasoning_tokens=4)
    cost = known(charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="2"))
    assert (cost.output, cost.reasoning) == (12_000_000, 8_000_000)


def test_cached_tokens_are_charged_as_input_where_they_have_no_rate() -> None:
    usage = replace(PLAIN, cache_read_tokens=300, cache_write_tokens=200)
    cost = known(charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="2"))
    assert (cost.input, cost.cache_read, cost.cache_write) == (500_000_000, 300_000_000, 200_000_000)


def test_a_rate_of_zero_is_known_and_takes_no_fall_back() -> None:
    usage = replace(PLAIN, cache_read_tokens=300, reasoning_tokens=4)
    free = {"cache_read_usd_per_mtok": "0", "reasoning_usd_per_mtok": "0.0"}
    cost = known(charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="2", **free))
    assert (cost.cache_read, cost.reasoning) == (0, 0)


def test_a_batch_is_charged_by_its_own_rates() -> None:
    usage = replace(PLAIN, cache_read_tokens=300, reasoning_tokens=4, batch=True)
    rates = {"batch_input_usd_per_mtok": "0.5", "batch_output_usd_per_mtok": "1"}
    cost = known(charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="2", cache_read_usd_per_mtok="9", **rates))
    assert (cost.input, cost.cache_read, cost.output, cost.reasoning) == (
        350_000_000,
        150_000_000,
        6_000_000,
        4_000_000,
    )


@pytest.mark.parametrize(
    ("tokens", "picousd"), [(1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (7, 4)], ids=lambda value: str(value)
)
def test_half_a_picodollar_goes_to_the_even_one(tokens: int, picousd: int) -> None:
    usage = Counted(input_tokens=tokens)
    assert known(charged(usage, input_usd_per_mtok="0.0000005")).input == picousd


def test_tokens_of_a_class_that_were_not_used_need_no_rate() -> None:
    assert known(charged(Counted(input_tokens=5), input_usd_per_mtok="1")).total == 5_000_000
    assert known(charged(Counted(output_tokens=5), output_usd_per_mtok="1")).total == 5_000_000
    assert known(charged(Counted(0, 0, 0, 0, 0, 0, 0), input_usd_per_mtok="1")).total == 0


# What is unknown ----------------------------------------------------------------------------------------------------


def test_a_model_without_a_row_is_unknown() -> None:
    table = PriceTable(catalogue(row(input_usd_per_mtok="1")))
    for provider, model in (("openai", "other"), ("groq", "gpt"), ("", "")):
        assert table.cost(provider, model, PLAIN, NOW) is None
        assert table.held(provider, model, NOW) is None


def test_a_call_before_the_first_row_is_unknown_to_the_millisecond() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    midnight = round(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000)
    assert charged(PLAIN, at_ms=midnight - 1, **rates) is None
    assert charged(PLAIN, at_ms=midnight, **rates) is not None


def test_a_row_without_amounts_is_unknown_from_then_on() -> None:
    later = DAY + timedelta(days=1)
    table = PriceTable(catalogue(row(input_usd_per_mtok="1", output_usd_per_mtok="1"), row(later)))
    assert table.cost("openai", "gpt", PLAIN, start_ms(later) - 1) is not None
    assert table.cost("openai", "gpt", PLAIN, start_ms(later)) is None
    assert table.held("openai", "gpt", start_ms(later)) is None


def test_a_rate_that_is_missing_makes_the_whole_unknown() -> None:
    assert charged(PLAIN, input_usd_per_mtok="1") is None
    assert charged(PLAIN, output_usd_per_mtok="1") is None
    assert charged(PLAIN, image_usd_each="1", audio_usd_per_second="1") is None
    assert charged(Counted(), image_usd_each="1") is None


def test_audio_is_never_charged_as_text() -> None:
    text = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    for usage in (replace(PLAIN, audio_input_tokens=1), replace(PLAIN, audio_output_tokens=1)):
        assert charged(usage, **text) is None
    heard = charged(replace(PLAIN, audio_input_tokens=1), **text, audio_in_usd_per_mtok="5")
    assert known(heard).audio == 5_000_000


def test_a_batch_is_never_charged_as_a_plain_call() -> None:
    usage = replace(PLAIN, batch=True)
    assert charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="1") is None
    assert charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="1", batch_input_usd_per_mtok="1") is None


def test_a_count_that_is_unknown_makes_the_cost_unknown() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    assert charged(replace(PLAIN, input_tokens=None), **rates) is None
    assert charged(replace(PLAIN, output_tokens=None), **rates) is None


@pytest.mark.parametrize(
    "usage",
    [
        Counted(10, 10, cache_read_tokens=11),
        Counted(10, 10, cache_write_tokens=11),
        Counted(10, 10, cache_read_tokens=6, cache_write_tokens=5),
        Counted(10, 10, cache_read_tokens=6, audio_input_tokens=5),
        Counted(10, 10, reasoning_tokens=11),
        Counted(10, 10, reasoning_tokens=6, audio_output_tokens=5),
    ],
    ids=str,
)
def test_counts_that_contradict_each_other_are_unknown_and_never_negative_money(usage: Counted) -> None:
    assert charged(usage, input_usd_per_mtok="1", output_usd_per_mtok="1") is None


def test_more_than_a_column_of_money_holds_is_a_junk_count_and_unknown() -> None:
    assert known(charged(Counted(999_999_999_999), input_usd_per_mtok="1")).total == 999_999_999_999_000_000
    assert known(charged(Counted(COST_PICOUSD_MAX), input_usd_per_mtok="0.000001")).total == COST_PICOUSD_MAX
    assert charged(Counted(COST_PICOUSD_MAX + 1), input_usd_per_mtok="0.000001") is None


# The organisation's own ---------------------------------------------------------------------------------------------


def test_own_amounts_stand_in_place_of_the_catalogues() -> None:
    mine = own("pr_1", model="gpt", amounts={"input_usd_per_mtok": "3", "output_usd_per_mtok": "4"})
    cost = known(charged(replace(PLAIN, cache_read_tokens=10), mine, cache_read_usd_per_mtok="9"))
    assert (cost.price, cost.adjustment) == ("pr_1", None)
    assert (cost.input, cost.output, cost.cache_read) == (2_970_000_000, 40_000_000, 30_000_000)


def test_a_multiplier_applies_to_the_catalogues_amounts() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}
    cost = known(charged(PLAIN, own("pr_1", multiplier="0.85"), **rates))
    assert (cost.price, cost.adjustment) == ("openai/gpt@2026-11-21", "pr_1")
    assert (cost.input, cost.output, cost.total) == (850_000_000, 17_000_000, 867_000_000)


def test_a_multiplier_applies_to_the_amounts_beside_it() -> None:
    mine = own("pr_1", multiplier="0.5", amounts={"input_usd_per_mtok": "3", "output_usd_per_mtok": "4"})
    cost = known(charged(PLAIN, mine, input_usd_per_mtok="1", output_usd_per_mtok="1"))
    assert (cost.price, cost.adjustment, cost.input) == ("pr_1", "pr_1", 1_500_000_000)


def test_a_multiplier_of_nothing_known_is_unknown() -> None:
    assert charged(PLAIN, own("pr_1", multiplier="0.5")) is None
    table = PriceTable({}, [own("pr_1", multiplier="0.5")])
    assert table.cost("openai", "gpt", PLAIN, NOW) is None


def test_a_models_row_counts_before_its_providers_however_old() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    of_model = own("pr_model", model="gpt", multiplier="2", valid_from=DAY - timedelta(days=100))
    of_provider = own("pr_provider", multiplier="3")
    for rows in ((of_model, of_provider), (of_provider, of_model)):
        assert known(charged(PLAIN, *rows, **rates)).adjustment == "pr_model"
    elsewhere = own("pr_other", model="other", multiplier="2")
    assert known(charged(PLAIN, elsewhere, of_provider, **rates)).adjustment == "pr_provider"


def test_of_equals_the_newest_that_has_begun_counts() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    rows = [own(f"pr_{day}", multiplier="2", valid_from=DAY + timedelta(days=day)) for day in (2, -1, 0, 1)]
    assert known(charged(PLAIN, *rows, **rates)).adjustment == "pr_0"
    assert known(charged(PLAIN, *rows, at_ms=start_ms(DAY) + DAY_MS, **rates)).adjustment == "pr_1"


def test_a_multiplier_of_one_brings_the_catalogues_price_back() -> None:
    mine = own("pr_1", model="gpt", amounts={"input_usd_per_mtok": "3"}, valid_from=DAY - timedelta(days=2))
    back = own("pr_2", model="gpt", multiplier="1", valid_from=DAY)
    cost = known(charged(PLAIN, mine, back, input_usd_per_mtok="1", output_usd_per_mtok="1"))
    assert (cost.price, cost.adjustment, cost.total) == ("openai/gpt@2026-11-21", "pr_2", 1_010_000_000)


def test_own_amounts_that_say_nothing_make_it_unknown() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    assert charged(PLAIN, own("pr_1", amounts={}, multiplier="1"), **rates) is None


def test_a_providers_row_prices_models_that_no_list_names_and_keeps_nothing_of_their_names() -> None:
    table = PriceTable({}, [own("pr_1", amounts={"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"})])
    costs = {known(table.cost("openai", f"made-up-{i}", PLAIN, NOW)).price for i in range(1_000)}
    assert costs == {"pr_1"}
    assert len(table._named) == 0
    assert len(table._rest) == 1


def test_what_holds_says_since_when_whatever_began_in_between_without_counting() -> None:
    rates = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}
    mine = own("pr_1", model="gpt", multiplier="2", valid_from=DAY - timedelta(days=9))
    beside = [own("pr_2", multiplier="3"), own("pr_3", multiplier="4", valid_from=DAY - timedelta(days=5))]
    table = PriceTable(catalogue(row(DAY - timedelta(days=20), **rates)), [mine, *beside])
    held = table.held("openai", "gpt", NOW)
    assert held is not None
    assert (held.valid_from, held.adjustment) == (DAY - timedelta(days=9), "pr_1")


def test_a_row_of_the_organisation_says_something() -> None:
    with pytest.raises(ValidationError, match="amounts, a multiplier, or both"):
        own("pr_1")


# Names --------------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=300), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}", fullmatch=True))
def test_a_price_of_the_catalogue_has_an_id_whatever_its_model_is_called(model: str, provider: str) -> None:
    id_ = price_id(provider, model, DAY)
    assert TypeAdapter(Id).validate_python(id_) == id_
    assert id_.endswith("@2026-11-21")
    assert id_ == price_id(provider, model, DAY)


def test_names_that_fit_no_id_stay_apart() -> None:
    ids = {price_id("bedrock", name, DAY) for name in ("a b", "a  b", "*/x", "é", "x" * 300, "x" * 299)}
    assert len(ids) == 6
    assert price_id("openai", "gpt-4o-mini", DAY) == "openai/gpt-4o-mini@2026-11-21"


@given(AMOUNT_TEXT, MULTIPLIER_TEXT)
def test_a_multiplied_amount_is_exact_and_has_no_zero_too_many(amount: str, multiplier: str) -> None:
    shown = multiplied(Amounts(input_usd_per_mtok=amount), multiplier)["input_usd_per_mtok"]
    assert Fraction(shown) == Fraction(amount) * Fraction(multiplier)
    assert re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", shown)
    assert multiplied(Amounts(input_usd_per_mtok=amount), None) == {"input_usd_per_mtok": amount}


# Everything once more -----------------------------------------------------------------------------------------------

AMOUNT = st.none() | AMOUNT_TEXT
AMOUNTS = st.builds(Amounts, **dict.fromkeys(Amounts.model_fields, AMOUNT))
MULTIPLIER = st.none() | MULTIPLIER_TEXT
COUNT = st.integers(0, 10**7)


@st.composite
def usages(draw: st.DrawFn) -> Counted:
    """Wholes that hold their parts, if they have any; now and then one that lacks a token of them."""
    part = draw(st.sampled_from((st.sampled_from((None, 0)), st.none() | COUNT)))
    read, write, reasoning, heard, spoken = (draw(part) for _ in range(5))
    rest = st.integers(-1, 10**7)
    return Counted(
        max(0, draw(rest) + (read or 0) + (write or 0) + (heard or 0)),
        max(0, draw(rest) + (reasoning or 0) + (spoken or 0)),
        read,
        write,
        reasoning,
        heard,
        spoken,
        batch=draw(st.booleans()),
    )


def by_fractions(amounts: Amounts, multiplier: str | None, usage: Counted) -> dict[str, int] | None:
    """The parts by name, each from the definition; None: unknown."""
    a, u = amounts, usage
    read, write, reasoning = u.cache_read_tokens or 0, u.cache_write_tokens or 0, u.reasoning_tokens or 0
    heard, spoken = u.audio_input_tokens or 0, u.audio_output_tokens or 0
    text_in = (u.input_tokens or 0) - read - write - heard
    text_out = (u.output_tokens or 0) - reasoning - spoken
    input_ = a.batch_input_usd_per_mtok if u.batch else a.input_usd_per_mtok
    output = a.batch_output_usd_per_mtok if u.batch else a.output_usd_per_mtok

    def of(special: str | None, general: str | None) -> str | None:
        return general if u.batch or special is None else special

    classes = [
        ("input", text_in, input_),
        ("output", text_out, output),
        ("cache_read", read, of(a.cache_read_usd_per_mtok, input_)),
        ("cache_write", write, of(a.cache_write_usd_per_mtok, input_)),
        ("reasoning", reasoning, of(a.reasoning_usd_per_mtok, output)),
        ("audio", heard, None if u.batch else a.audio_in_usd_per_mtok),
        ("audio", spoken, None if u.batch else a.audio_out_usd_per_mtok),
    ]
    if text_in < 0 or text_out < 0 or all(rate is None for _, _, rate in classes):
        return None
    sums = {name: Fraction(0) for name, _, _ in classes}
    for name, count, rate in classes:
        if count and rate is None:
            return None
        sums[name] += count * Fraction(rate or 0) * Fraction(multiplier or 1) * 10**6
    return {name: round(picousd) for name, picousd in sums.items()}


@given(AMOUNTS, MULTIPLIER, usages(), st.booleans())
def test_a_cost_is_what_fractions_say_it_is(
    amounts: Amounts, multiplier: str | None, usage: Counted, in_own_row: bool
) -> None:
    prices = () if in_own_row else (Price(valid_from=DAY, amounts=amounts),)
    rows = [own("pr_1", amounts=amounts, multiplier=multiplier)] if in_own_row else []
    if multiplier is not None and not in_own_row:
        rows = [own("pr_1", multiplier=multiplier)]
    table = PriceTable(catalogue(*prices), rows)
    cost = table.cost("openai", "gpt", usage, NOW)
    expected = by_fractions(amounts, multiplier, usage)
    if expected is None or sum(expected.values()) > COST_PICOUSD_MAX:
        assert cost is None
        return
    parts = {part.name: getattr(cost, part.name) for part in fields(known(cost)) if part.name in expected}
    assert parts == expected
    assert known(cost).total == sum(parts.values())
    told = [known(cost).price, known(cost).adjustment, known(cost).total, *parts.values()]
    assert list(table.charged("openai", "gpt", usage, NOW) or ()) == told


@given(AMOUNTS, MULTIPLIER, usages())
def test_no_cost_has_a_negative_part(amounts: Amounts, multiplier: str | None, usage: Counted) -> None:
    cost = PriceTable({}, [own("pr_1", amounts=amounts, multiplier=multiplier)]).cost("openai", "gpt", usage, NOW)
    if cost is not None:
        assert min(getattr(cost, part.name) for part in fields(cost) if part.type is int) >= 0


DAYS = st.lists(st.integers(-5, 5), unique=True, max_size=4).map(sorted)


@given(DAYS, DAYS, DAYS, st.integers(-7, 7), st.integers(0, DAY_MS - 1))
def test_the_row_that_holds_is_the_one_a_plain_reading_finds(
    of_catalogue: list[int], of_provider: list[int], of_model: list[int], day: int, into_ms: int
) -> None:
    def on(number: int) -> date:
        return DAY + timedelta(days=number)

    prices = [row(on(n), input_usd_per_mtok="1", output_usd_per_mtok="1") for n in of_catalogue]
    wide = [own(f"pr_wide{n}", valid_from=on(n), multiplier="2") for n in of_provider]
    narrow = [
        own(f"pr_narrow{n}", model="gpt", valid_from=on(n), amounts={"input_usd_per_mtok": "1"}) for n in of_model
    ]
    held = PriceTable(catalogue(*prices), [*wide, *narrow]).held("openai", "gpt", start_ms(on(day)) + into_ms)
    begun = {name: [n for n in days if n <= day] for name, days in (("c", of_catalogue), ("w", of_provider))}
    mine = [n for n in of_model if n <= day]
    if mine:
        assert held is not None
        assert (held.price, held.adjustment) == (f"pr_narrow{mine[-1]}", None)
    elif begun["c"]:
        assert held is not None
        assert held.price == f"openai/gpt@{on(begun['c'][-1])}"
        assert held.adjustment == (f"pr_wide{begun['w'][-1]}" if begun["w"] else None)
    else:
        assert held is None
