"""The prices of a view: the catalogue's and the organisation's own, as the state brings them."""

from datetime import date

import pytest

from gateway.providers.base import Usage
from gateway.view.view import ConfigView
from shared.models.noun import Kind
from shared.pricing import Cost, start_ms
from tests.fakes.world import AMOUNTS, SHUT, World, new_compiler

NOW_MS = start_ms(date(2026, 11, 21))
SPENT = Usage(input_tokens=10, output_tokens=1)


@pytest.fixture
def world() -> World:
    world = World()
    world.drop("org:o1", Kind.PRICE, "pr1")
    return world


def priced(world: World, **amounts: str) -> None:
    prices = [{"valid_from": "2026-11-01", "amounts": amounts}]
    world.put("global", Kind.MODEL, id="m1", provider="sim", name="sim-chat", prices=prices)


def cost(view: ConfigView, model: str = "sim-chat") -> Cost | None:
    return view.prices.cost("sim", model, SPENT, NOW_MS)


def total(view: ConfigView, model: str = "sim-chat") -> int | None:
    found = cost(view, model)
    return None if found is None else found.total


def test_a_model_s_price_is_the_catalogue_s(world: World) -> None:
    assert cost(world.view()) is None
    priced(world, **AMOUNTS)
    assert cost(world.view()) == Cost("sim/sim-chat@2026-11-01", None, 10_000_000, 2_000_000, 0, 0, 0, 0, 12_000_000)


@pytest.mark.parametrize("other", ["m0", "m9"])
def test_of_two_rows_of_one_model_the_one_with_a_price_counts(world: World, other: str) -> None:
    priced(world, **AMOUNTS)
    world.put("global", Kind.MODEL, id=other, provider="sim", name="sim-chat", type="completion")
    assert total(world.view()) == 12_000_000


def test_an_edit_of_an_own_price_is_in_the_next_view_and_not_in_the_last(world: World) -> None:
    priced(world, **AMOUNTS)
    compiler = new_compiler()
    before = compiler.compile(world.state())
    world.price("pr2", multiplier="0.5")
    between = compiler.compile(world.state())
    world.drop("org:o1", Kind.PRICE, "pr2")
    after = compiler.compile(world.state())
    assert [total(view) for view in (before, between, after)] == [12_000_000, 6_000_000, 12_000_000]


def test_a_provider_s_row_reaches_models_of_its_own_that_no_catalogue_names(world: World) -> None:
    world.price("pr2", amounts=AMOUNTS)
    view = world.view()
    assert total(view, "made-up") == 12_000_000
    assert view.prices.cost("acme", "made-up", SPENT, NOW_MS) is None


@pytest.mark.parametrize(
    "bad",
    [
        SHUT,
        b'{"id": "pr2", "provider": "sim", "valid_from": "2026-01-01"}',
        b'{"id": "pr2", "provider": "sim", "valid_from": "2026-01-01", "multiplier": 0.5}',
        b'{"id": "pr2", "provider": "sim", "valid_from": "2026-01-01", "multiplier": "-1"}',
        b'{"id": "pr2", "provider": "sim", "valid_from": "soon", "multiplier": "1"}',
        b'{"id": "pr2", "provider": "sim", "valid_from": "2026-01-01", "amounts": {"input_usd_per_mtok": "1e3"}}',
    ],
)
def test_a_bad_price_harms_only_itself_and_its_last_good_version_stays(world: World, bad: bytes) -> None:
    priced(world, **AMOUNTS)
    world.price("pr1", model="sim-embed", amounts=AMOUNTS)
    world.put_bytes("org:o1", Kind.PRICE, "pr2", bad)
    fresh = new_compiler()
    view = fresh.compile(world.state())
    assert (total(view), total(view, "sim-embed")) == (12_000_000, 12_000_000)
    assert [refusal.id for refusal in fresh.refusals] == ["pr2"]
    world.price("pr2", multiplier="2")
    running = new_compiler()
    assert total(running.compile(world.state())) == 24_000_000
    world.put_bytes("org:o1", Kind.PRICE, "pr2", bad)
    assert total(running.compile(world.state())) == 24_000_000
    assert [refusal.id for refusal in running.refusals] == ["pr2"]


@pytest.mark.parametrize(("first", "second"), [("pr1", "pr2"), ("pr2", "pr1")])
def test_of_two_prices_for_the_same_the_one_that_served_first_stays(world: World, first: str, second: str) -> None:
    compiler = new_compiler()
    world.price(first, amounts=AMOUNTS)
    compiler.compile(world.state())
    world.price(second, amounts=AMOUNTS, multiplier="2")
    found = cost(compiler.compile(world.state()))
    assert found is not None
    assert found.price == first
    assert [(refusal.id, refusal.code) for refusal in compiler.refusals] == [(second, "price_taken")]
