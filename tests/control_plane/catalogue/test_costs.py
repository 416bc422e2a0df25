"""Every model of the catalogue as it is shipped: with a price for tokens it has a cost, without one it has none."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from pydantic import TypeAdapter

from control_plane.catalogue.catalogue import FILE, Entry, parse
from shared.models.noun import Id
from shared.pricing import Cost, PriceTable, start_ms

ENTRIES = parse(FILE.read_bytes())
TABLE = PriceTable({(entry.provider, entry.name): entry.prices for entry in ENTRIES})


@dataclass(frozen=True, slots=True)
class Counted:
    input_tokens: int = 1_234
    output_tokens: int = 56
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    batch: bool = False


def used(entry: Entry) -> Counted:
    return Counted(output_tokens=0) if entry.type == "embedding" else Counted()


def cost(entry: Entry) -> Cost | None:
    """Of a call on the last price's first day."""
    at_ms = start_ms(entry.prices[-1].valid_from) if entry.prices else 2**42
    return TABLE.cost(entry.provider, entry.name, used(entry), at_ms)


def by_hand(entry: Entry) -> int | None:
    """In picodollars, from the definition of a price per million tokens."""
    amounts, usage = entry.prices[-1].amounts, used(entry)
    rates = (amounts.input_usd_per_mtok, amounts.output_usd_per_mtok)
    parts = list(zip((usage.input_tokens, usage.output_tokens), rates, strict=True))
    if any(count and rate is None for count, rate in parts):
        return None
    return sum(round(count * Fraction(rate or 0) * 10**6) for count, rate in parts)


def test_each_priced_model_has_its_cost_and_each_other_has_none() -> None:
    priced = [entry for entry in ENTRIES if entry.prices]
    assert len(priced) > 2_500
    wrong = {entry.name: found for entry in priced if (found := cost(entry)) and found.total != by_hand(entry)}
    assert wrong == {}
    assert [entry.name for entry in priced if (cost(entry) is None) != (by_hand(entry) is None)] == []
    assert [entry.name for entry in ENTRIES if not entry.prices and cost(entry) is not None] == []


def test_a_chat_without_a_cost_is_sold_by_something_else_than_its_tokens() -> None:
    """By the second, by the piece, or by tokens of one side alone."""
    unknown = [entry for entry in ENTRIES if entry.type == "chat" and entry.prices and cost(entry) is None]
    amounts = [entry.prices[-1].amounts for entry in unknown]
    assert all(None in (known.input_usd_per_mtok, known.output_usd_per_mtok) for known in amounts)
    doors = Counter(entry.type for entry in ENTRIES if entry.prices and cost(entry) is not None)
    assert doors["chat"] > 2_000
    assert doors["embedding"] > 100


def test_no_model_that_writes_is_free_of_charge_on_one_side() -> None:
    """Tables say 0 there of songs that are sold by the piece, and of a router that takes its fee beside the model's."""
    free = [
        entry.name
        for entry in ENTRIES
        if entry.type not in ("embedding", "rerank")
        and any(amount == "0" for price in entry.prices for amount in price.amounts.model_dump().values())
    ]
    assert free == []


def test_the_id_of_every_price_fits_a_record_and_is_its_own() -> None:
    ids = [found.price for entry in ENTRIES if (found := cost(entry)) is not None]
    assert len(set(ids)) == len(ids)
    adapter = TypeAdapter(Id)
    assert [id_ for id_ in ids if adapter.validate_python(id_) != id_] == []


# Token classes: which tokens of a call are of the class, its rate, and its part of the cost.
CLASSES = {
    "cache_read": ("input_tokens", "cache_read_tokens", "cache_read_usd_per_mtok", "cache_read"),
    "cache_write": ("input_tokens", "cache_write_tokens", "cache_write_usd_per_mtok", "cache_write"),
    "reasoning": ("output_tokens", "reasoning_tokens", "reasoning_usd_per_mtok", "reasoning"),
    "audio_input": ("input_tokens", "audio_input_tokens", "audio_in_usd_per_mtok", "audio"),
    "audio_output": ("output_tokens", "audio_output_tokens", "audio_out_usd_per_mtok", "audio"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_each_model_with_a_price_for_a_class_of_tokens_charges_that_class_by_it(name: str) -> None:
    side, counted, rate, part = CLASSES[name]
    tried = 0
    for entry in ENTRIES:
        amount = getattr(entry.prices[-1].amounts, rate) if entry.prices else None
        if amount is None:
            continue
        counts = replace(Counted(input_tokens=0, output_tokens=0), **{side: 1_234, counted: 1_234})
        found = TABLE.cost(entry.provider, entry.name, counts, start_ms(entry.prices[-1].valid_from))
        assert found is not None, entry.name
        assert (getattr(found, part), found.total) == (round(1_234 * Fraction(amount) * 10**6),) * 2, entry.name
        tried += 1
    assert tried > 10


def test_a_model_that_the_catalogue_does_not_know_is_priced_unknown() -> None:
    for provider in {entry.provider for entry in ENTRIES}:
        assert TABLE.cost(provider, "no-such-model", Counted(), 2**42) is None
