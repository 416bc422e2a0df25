"""Who is calling: our key wherever it stands, a provider's key beside it, and neither in a message."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.pipeline.authenticate import authenticate, provider_key, require_scope
from gateway.view.view import ConfigView
from shared.clock import FakeClock
from shared.crypto.api_keys import new_api_key
from tests.fakes.world import World

OWN_HEADERS = ("x-portkey-api-key", "x-gatehouse-api-key")
PROVIDER_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
CLOCK = FakeClock()
NOW_MS = CLOCK.wall_ms()


@pytest.fixture
def world() -> World:
    return World()


def refused(headers: dict[str, str], view: ConfigView, now_ms: int = NOW_MS) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        authenticate(headers, view, now_ms)
    return caught.value


@pytest.mark.parametrize("name", [*OWN_HEADERS, *PROVIDER_HEADERS])
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}", "BEARER   {}", "Bearer\t{}", "Basic {}", " {} "])
def test_our_key_is_found_in_every_header_behind_any_scheme(world: World, name: str, form: str) -> None:
    headers = {name: form.format(world.key)}
    assert authenticate(headers, world.view(), NOW_MS).id == "k1"
    assert provider_key(headers) is None, "our key was taken for a provider's and would leave"


def test_the_same_key_in_two_headers_is_one_key(world: World) -> None:
    headers = {"authorization": f"Bearer {world.key}", "x-portkey-api-key": world.key}
    assert authenticate(headers, world.view(), NOW_MS).id == "k1"


@pytest.mark.parametrize("first", [*OWN_HEADERS, *PROVIDER_HEADERS])
def test_two_different_keys_are_refused_in_whichever_headers_they_stand(world: World, first: str) -> None:
    other = new_api_key().reveal_text()
    world.api_key("k2", other)
    for second in (*OWN_HEADERS, *PROVIDER_HEADERS):
        if second != first:
            error = refused({first: world.key, second: f"Bearer {other}"}, world.view())
            assert error.code is Code.API_KEYS_CONFLICT
            assert error.row.status == 400
            assert world.key not in error.message
            assert other not in error.message


def test_a_provider_key_stands_beside_ours(world: World) -> None:
    headers = {"x-portkey-api-key": world.key, "authorization": "Bearer sk-mine"}
    assert authenticate(headers, world.view(), NOW_MS).id == "k1"
    key = provider_key(headers)
    assert key is not None
    assert key.reveal() == b"sk-mine"


def test_a_provider_key_is_found_behind_ours_in_another_provider_header(world: World) -> None:
    key = provider_key({"authorization": f"Bearer {world.key}", "x-api-key": "sk-ant-mine"})
    assert key is not None
    assert key.reveal() == b"sk-ant-mine"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "   "])
def test_an_empty_header_holds_no_provider_key(value: str) -> None:
    assert provider_key({"authorization": value}) is None


@pytest.mark.parametrize("value", ["Bearer sk-\udcff", "Bearer schl\u00fcssel", "Bearer a\x7fb"])
def test_a_provider_key_that_cannot_be_sent_is_a_caller_s_mistake(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        provider_key({"authorization": value})
    assert caught.value.code is Code.HEADER_INVALID
    assert "sch" not in caught.value.message


def test_no_key_is_401_and_says_how_to_send_one(world: World) -> None:
    error = refused({"authorization": "Bearer sk-only-a-provider-key"}, world.view())
    assert error.code is Code.API_KEY_MISSING
    assert error.row.status == 401
    assert "sk-only" not in error.message


def test_a_key_of_another_organisation_is_401_and_not_repeated(world: World) -> None:
    stranger = new_api_key().reveal_text()
    error = refused({"authorization": f"Bearer {stranger}"}, world.view())
    assert error.code is Code.API_KEY_INVALID
    assert error.row.status == 401
    assert stranger not in error.message


@given(at=st.integers(3, 51), wrong=st.sampled_from("aZ09-é_"))
def test_a_key_with_a_typing_error_is_nobody_s(at: int, wrong: str) -> None:
    world = World()
    typo = world.key[:at] + wrong + world.key[at + 1 :]
    assume(typo != world.key)
    assert refused({"x-portkey-api-key": typo}, world.view()).code is Code.API_KEY_INVALID
    assert refused({"x-portkey-api-key": world.key[:at]}, world.view()).code is Code.API_KEY_INVALID


def test_a_key_expires_at_its_millisecond(world: World) -> None:
    world.api_key("k1", world.key, expires_at_ms=NOW_MS + 2_000)
    view, clock = world.view(), FakeClock(NOW_MS)
    headers = {"authorization": f"Bearer {world.key}"}
    clock.advance(1.999)
    assert authenticate(headers, view, clock.wall_ms()).id == "k1"
    clock.advance(0.001)
    error = refused(headers, view, clock.wall_ms())
    assert error.code is Code.API_KEY_EXPIRED
    assert error.row.status == 401


def test_a_revoked_key_is_as_invalid_as_an_unknown_one(world: World) -> None:
    unknown = refused({"authorization": f"Bearer {new_api_key().reveal_text()}"}, world.view())
    world.api_key("k1", world.key, revoked=True)
    revoked = refused({"authorization": f"Bearer {world.key}"}, world.view())
    assert (revoked.code, revoked.message) == (unknown.code, unknown.message)


def test_a_missing_scope_is_403_naming_it(world: World) -> None:
    world.api_key("k1", world.key, scopes=["logs.view"])
    caller = world.caller()
    require_scope(caller, "logs.view")
    with pytest.raises(GatewayError) as caught:
        require_scope(caller, "completions.write")
    assert caught.value.row.status == 403
    assert "completions.write" in caught.value.message


@pytest.mark.parametrize("prefix", ["gh", "gha", "ghe"])
@pytest.mark.parametrize("header", PROVIDER_HEADERS)
def test_no_key_of_ours_is_taken_for_a_provider_s(header: str, prefix: str) -> None:
    assert provider_key({header: new_api_key(prefix).reveal_text()}) is None
