"""The catalogue file: what it may say, how a table of facts becomes it, and that the one of this build is sound."""

from datetime import date
from importlib import resources

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.catalogue.catalogue import FILE, Catalogue, Entry, encode, load, parse
from control_plane.catalogue.convert import convert
from shared.models.price import Amounts, Price
from shared.models.provider import Provider, parse_table

HEAD = (
    "provider,model,mode,context_tokens,max_output_tokens,input_usd_per_mtok,output_usd_per_mtok,"
    "cache_read_usd_per_mtok,cache_write_usd_per_mtok,reasoning_usd_per_mtok,audio_in_usd_per_mtok,"
    "audio_out_usd_per_mtok,image_usd_each,audio_usd_per_second,batch_input_usd_per_mtok,batch_output_usd_per_mtok,"
    "retires_on,capabilities"
)
FIRST, SECOND = date(2026, 1, 1), date(2026, 2, 1)
ACME = Provider(id="acme", name="Acme", base_url="https://acme.test", doors=("chat",))


def line(name: str = "m", prices: str = "1,2", provider: str = "acme") -> str:
    return f"{provider},{name},chat,1000,,{prices},,,,,,,,,,2027-03-01,vision tools"


def converted(*lines: str, before: list[Entry] | None = None, valid_from: date = FIRST) -> list[Entry]:
    return convert([HEAD, *lines], before or [], valid_from)


def amounts(input_: str, output: str) -> Amounts:
    return Amounts(input_usd_per_mtok=input_, output_usd_per_mtok=output)


def test_facts_become_an_entry() -> None:
    assert converted(line(prices="0.50,1e-05")) == [
        Entry(
            provider="acme",
            name="m",
            type="chat",
            context_tokens=1000,
            output_tokens_max=None,
            abilities=("tools", "vision"),
            retires_on=date(2027, 3, 1),
            prices=(Price(valid_from=FIRST, amounts=amounts("0.5", "0.00001")),),
        )
    ]


@pytest.mark.parametrize("prices", [",", "0,0", "0.0,"])
def test_a_row_without_any_amount_above_zero_has_an_unknown_price(prices: str) -> None:
    assert converted(line(prices=prices))[0].prices == ()


def test_a_zero_beside_an_amount_is_a_price_of_what_writes_nothing_and_else_unknown() -> None:
    facts = line(prices="0.1,0")
    assert converted(facts)[0].prices[0].amounts == Amounts(input_usd_per_mtok="0.1")
    assert converted(facts.replace("chat", "embedding"))[0].prices[0].amounts == amounts("0.1", "0")


def test_a_price_that_changes_keeps_its_history() -> None:
    before = converted(line())
    after = converted(line(prices="1,3"), before=before, valid_from=SECOND)
    assert after[0].prices == (
        Price(valid_from=FIRST, amounts=amounts("1", "2")),
        Price(valid_from=SECOND, amounts=amounts("1", "3")),
    )


def test_a_price_that_stays_keeps_its_beginning() -> None:
    before = converted(line())
    assert converted(line(prices="1.0,2.00"), before=before, valid_from=SECOND) == before


def test_a_price_that_becomes_unknown_ends() -> None:
    after = converted(line(prices=","), before=converted(line()), valid_from=SECOND)
    assert [price.known for price in after[0].prices] == [True, False]


def test_two_conversions_of_one_day_leave_one_price() -> None:
    after = converted(line(prices="5,6"), before=converted(line()), valid_from=FIRST)
    assert after[0].prices == (Price(valid_from=FIRST, amounts=amounts("5", "6")),)


_days = st.dates(date(2026, 1, 1), date(2027, 1, 1))
_amount = st.decimals(min_value="0.000001", max_value=10_000, places=6).map(lambda d: format(d.normalize(), "f"))


@given(st.lists(st.tuples(_days, _amount, _amount), max_size=6))
def test_any_history_of_conversions_is_a_catalogue_and_ends_with_the_last_price(
    history: list[tuple[date, str, str]],
) -> None:
    entries: list[Entry] = []
    for day, input_, output in sorted(history):
        entries = converted(line(prices=f"{input_},{output}"), before=entries, valid_from=day)
    assert parse(encode(entries)) == entries
    if history:
        last = entries[0].prices[-1]
        assert last.amounts == amounts(*sorted(history)[-1][1:])


def test_lines_are_sorted_so_that_versions_compare_well() -> None:
    entries = converted(line("b"), line("a"))
    assert encode(entries) == encode(entries[::-1])
    assert [entry.name for entry in parse(encode(entries))] == ["a", "b"]


def priced(*prices: tuple[str, dict[str, str]]) -> bytes:
    rows = [{"valid_from": day, "amounts": given} for day, given in prices]
    return orjson.dumps({"provider": "acme", "name": "m", "type": "chat", "prices": rows})


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"{}", "line 1"),
        (encode(converted(line())) * 2, "line 2 .* has 'm' already"),
        (b'{"provider":"acme","name":"m","type":"chat","colour":"red"}', "line 1"),
        (priced(("2026-02-01", {}), ("2026-01-01", {})), "order of time"),
        (priced(("2026-02-01", {"input_usd_per_mtok": "-1"})), "input_usd_per_mtok"),
        (priced(("2026-02-01", {"input_usd_per_mtok": "1e3"})), "input_usd_per_mtok"),
        (priced(("2026-02-01", {"input_eur_per_mtok": "1"})), "input_eur_per_mtok"),
    ],
)
def test_a_faulty_line_is_named(data: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){fault}"):
        parse(data)


def test_gateways_are_told_of_models_that_their_providers_can_serve() -> None:
    entries = [
        Entry(provider="acme", name="chats", type="chat"),
        Entry(provider="acme", name="embeds", type="embedding"),
        Entry(provider="acme", name="paints", type="image_generation"),
        Entry(provider="acme", name="responds", type="responses"),
        Entry(provider="responder", name="responds", type="responses"),
        Entry(provider="other", name="chats", type="chat"),
        Entry(provider="acme", name="*/1-month-commitment/chats", type="chat"),
    ]
    responder = ACME.model_copy(update={"id": "responder", "doors": ("chat", "responses")})
    providers = {"acme": ACME, "responder": responder}
    assert list(Catalogue(entries, providers, "").travelling()) == ["acme/chats", "responder/responds"]


def test_the_catalogue_of_this_build_is_sound() -> None:
    providers = parse_table(resources.files("shared.data").joinpath("providers.toml").read_text("utf-8"))
    catalogue = load(providers)
    assert len(catalogue.entries) > 2_000
    travelling = catalogue.travelling()
    assert len(travelling) > 500
    assert travelling["openai/gpt-5-codex"].prices, "what only the door of responses can call has its price too"
    assert encode(catalogue.entries) == FILE.read_bytes()


def test_the_digest_follows_models_and_providers() -> None:
    digests = {
        load({}).digest,
        load({"acme": ACME}).digest,
        load({"acme": ACME.model_copy(update={"name": "Acme 2"})}).digest,
    }
    assert len(digests) == 3
