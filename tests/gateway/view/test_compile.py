"""From a state to a view: one bad resource harms only itself, and its last good version serves on."""

import base64
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from gateway.sync.opener import Opener
from gateway.view.compile import Compiler, NotServable
from gateway.view.plan import place_of
from gateway.view.route import CredentialUnavailable, Target
from gateway.view.view import ConfigView
from shared.crypto.api_keys import new_api_key
from shared.models.noun import Kind
from shared.models.provider import Provider
from shared.pricing import start_ms
from shared.protocol import envelope
from shared.protocol.envelope import Suite
from shared.protocol.resource import SealedResource, credential_subject
from shared.protocol.snapshot import ShardState
from tests.fakes.world import SHUT, STORED_KEY, WORKSPACE, FakeState, World, new_compiler
from tests.fixtures.certificates import Authority
from tests.gateway.odd import TOO_DEEP, everywhere

NOW_MS = start_ms(date(2026, 11, 21))


@pytest.fixture
def world() -> World:
    return World()


def refusals(compiler: Compiler) -> list[tuple[str, str, str]]:
    return [(refusal.kind, refusal.id, refusal.code) for refusal in compiler.refusals]


def shown(view: ConfigView) -> dict[str, set[str]]:
    """What a view offers, by kind, in names that do not depend on each other."""
    callers = list(view.callers.values())
    workspaces = {caller.workspace.id: caller.workspace for caller in callers}.values()
    return {
        "api_key": {caller.id for caller in callers},
        "virtual_key": {f"vk-{slug}" for workspace in workspaces for slug in workspace.virtual_keys},
        "config": {f"pc-{slug}" for workspace in workspaces for slug in workspace.configs},
        "provider": {id_ for workspace in workspaces for id_ in workspace.providers},
        "price": {held.price for held in [view.prices.held("sim", "sim-chat", NOW_MS)] if held is not None},
    }


@pytest.mark.parametrize("bad", [SHUT, b"", b"{", b"[]", b"null", b'{"id": "another"}', b"\xff"])
@pytest.mark.parametrize("name", World().names, ids=str)
def test_one_bad_resource_harms_only_itself_from_the_first_state_on(name: tuple[str, str, str], bad: bytes) -> None:
    world = World()
    world.config("alone", {"provider": "openai"})
    whole = shown(world.view())
    shard, kind, id_ = name
    world.put_bytes(shard, kind, id_, bad)
    compiler = new_compiler()
    if kind == Kind.ORGANISATION:
        with pytest.raises(NotServable):
            compiler.compile(world.state())
        return
    left = shown(compiler.compile(world.state()))
    assert (kind, id_) in [found[:2] for found in refusals(compiler)]
    # What stands on the bad one falls with it, by name; nothing else does.
    fallen = {(found[0], found[1]) for found in refusals(compiler)}
    if kind in (Kind.WORKSPACE, Kind.API_KEY):
        assert not left["api_key"]
        return
    assert left == {kind: {i for i in ids if (kind, i) not in fallen} for kind, ids in whole.items()}
    assert fallen - {(kind, id_)} == {(Kind.PROVIDER, "sim"): {("virtual_key", "vk-main")}}.get(
        (Kind(kind), id_), {("virtual_key", "vk-second")} if (kind, id_) == ("provider", "acme") else set()
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(World().names), st.sampled_from([SHUT, b"{", b"{}", b'{"id": "x"}'])),
        min_size=1,
        max_size=4,
    )
)
def test_bad_resources_change_nothing_once_a_good_state_was_there(
    changes: list[tuple[tuple[str, str, str], bytes]],
) -> None:
    world = World()
    world.config("alone", {"provider": "openai"})
    compiler = new_compiler()
    before = shown(compiler.compile(world.state()))
    for (shard, kind, id_), bad in changes:
        world.put_bytes(shard, kind, id_, bad)
    for _ in range(2):
        after = compiler.compile(world.state())
        assert shown(after) == before
        assert after.caller(world.key) is not None
        assert {found[:2] for found in refusals(compiler)} == {(str(kind), id_) for (_, kind, id_), _ in changes}


RICH = {
    "strategy": {
        "mode": "conditional",
        "conditions": [{"query": {"metadata.tier": {"$eq": "gold"}}, "then": "a"}],
        "default": "b",
    },
    "targets": [
        {"name": "a", "virtual_key": "main", "retry": {"attempts": 2, "on_status_codes": [429]}},
        {"name": "b", "strategy": {"mode": "loadbalance"}, "targets": [{"provider": "openai", "weight": 0.5}]},
    ],
    "cache": {"mode": "simple", "max_age": 60},
    "override_params": {"temperature": 0.5, "stop": ["x"]},
}
ODD = [
    b"null",
    b"1e999",
    b"-1",
    b"9" * 400,
    b'""',
    b'"\\u0000"',
    b'"{region}"',
    b'"http://[::1"',
    b"[]",
    b"{}",
    b"[[1]]",
]


@pytest.mark.parametrize("odd", [*ODD, *TOO_DEEP.values()], ids=lambda odd: odd[:12].decode())
@pytest.mark.parametrize("name", [*World().names, (WORKSPACE, Kind.CONFIG, "pc-rich")], ids=str)
def test_whatever_stands_in_a_resource_harms_no_other(name: tuple[str, str, str], odd: bytes) -> None:
    """Signed and whole, as from a control plane of another age, or of another mind."""
    world = World()
    world.config("rich", RICH)
    whole = world.body(*name)
    compiler = new_compiler()
    before = shown(compiler.compile(world.state()))
    for data in everywhere(whole, odd):
        world.put_bytes(*name, data)
        after = compiler.compile(world.state())
        if name[1] != Kind.WORKSPACE and name[1] != Kind.ORGANISATION:
            assert {kind: ids - {name[2]} for kind, ids in shown(after).items() if kind != "price"} == {
                kind: ids - {name[2]} for kind, ids in before.items() if kind != "price"
            }
        with suppress(NotServable):  # Of a node that has just started.
            new_compiler().compile(world.state())


def test_a_refusal_names_resource_and_place_and_not_the_value(world: World) -> None:
    world.api_key("k1", world.key, hash="not-a-hash-marker")
    compiler = new_compiler()
    compiler.compile(world.state())
    (refusal,) = compiler.refusals
    assert (refusal.shard, refusal.kind, refusal.id, refusal.revision) == (WORKSPACE, "api_key", "k1", 1)
    assert refusal.code == "body_invalid"
    assert "/hash" in refusal.detail
    assert "marker" not in refusal.detail


BAD_EDITS: list[tuple[str, str, dict[str, Any], str]] = [
    (Kind.CONFIG, "pc-n", {"workspace": "w1", "slug": "n", "name": "n", "body": {"retry": {}}}, "config_invalid"),
    (Kind.CONFIG, "pc-n", {"workspace": "w1", "slug": "n", "name": "n", "body": {"virtual_key": "x"}}, "slug_unknown"),
    (Kind.CONFIG, "pc-n", {"workspace": "w1", "slug": "n", "name": "n", "body": {"provider": "x"}}, "provider_unknown"),
    (
        Kind.CONFIG,
        "pc-n",
        {"workspace": "w1", "slug": "a", "name": "c", "body": {"provider": "openai"}},
        "slug_taken",
    ),
    (
        Kind.VIRTUAL_KEY,
        "vk-n",
        {"workspace": "w1", "slug": "n", "name": "n", "provider": "gone", "credential": "{}"},
        "provider_unknown",
    ),
    (
        Kind.VIRTUAL_KEY,
        "vk-n",
        {
            "workspace": "w1",
            "slug": "c",
            "name": "c",
            "provider": "sim",
            "credential": "{}",
            "base_url": "http://127.1",
        },
        "base_url_invalid",
    ),
    (
        Kind.VIRTUAL_KEY,
        "vk-n",
        {"workspace": "w1", "slug": "main", "name": "c", "provider": "sim", "credential": "{}"},
        "slug_taken",
    ),
]


@pytest.mark.parametrize(("kind", "id_", "fields", "code"), BAD_EDITS)
def test_an_edit_that_cannot_work_leaves_the_last_good_version(
    world: World, kind: str, id_: str, fields: dict[str, Any], code: str
) -> None:
    world.config("a", {"provider": "openai"})
    world.config("n", {"provider": "openai"})
    world.virtual_key("n", "sim", "sk-n")
    compiler = new_compiler()
    good = shown(compiler.compile(world.state()))
    world.put(WORKSPACE, kind, id=id_, **fields)
    for _ in range(2):
        assert shown(compiler.compile(world.state())) == good
        assert refusals(compiler) == [(kind, id_, code)]
    world.config("n", {"provider": "openai"})
    world.virtual_key("n", "sim", "sk-n")
    assert shown(compiler.compile(world.state())) == good
    assert refusals(compiler) == []


@pytest.mark.parametrize(("first", "second"), [("a", "c"), ("c", "a")])
def test_a_newcomer_that_takes_a_slug_harms_only_itself(world: World, first: str, second: str) -> None:
    world.config(first, {"provider": "openai"})
    compiler = new_compiler()
    good = shown(compiler.compile(world.state()))
    world.put(
        WORKSPACE, Kind.CONFIG, id=f"pc-{second}", workspace="w1", slug=first, name="n", body={"virtual_key": "main"}
    )
    for _ in range(2):
        view = compiler.compile(world.state())
        assert shown(view) == good
        caller = view.caller(world.key)
        assert caller is not None
        assert caller.workspace.configs[first].body.provider == "openai"
        assert refusals(compiler) == [(Kind.CONFIG, f"pc-{second}", "slug_taken")]


@pytest.mark.parametrize(("kind", "id_", "fields", "code"), BAD_EDITS)
def test_what_never_worked_is_absent_and_named(
    world: World, kind: str, id_: str, fields: dict[str, Any], code: str
) -> None:
    world.config("a", {"provider": "openai"})
    good = shown(world.view())
    world.put(WORKSPACE, kind, id=id_, **fields)
    compiler = new_compiler()
    assert shown(compiler.compile(world.state())) == good
    assert refusals(compiler) == [(kind, id_, code)]


def test_a_last_good_version_goes_with_its_resource(world: World) -> None:
    world.config("n", {"provider": "openai"})
    compiler = new_compiler()
    compiler.compile(world.state())
    world.drop(WORKSPACE, Kind.CONFIG, "pc-n")
    caller = compiler.compile(world.state()).caller(world.key)
    assert caller is not None
    assert caller.workspace.configs == {}


def test_a_config_whose_virtual_key_was_deleted_falls_by_name(world: World) -> None:
    world.config("n", {"virtual_key": "main"})
    compiler = new_compiler()
    compiler.compile(world.state())
    world.drop(WORKSPACE, Kind.VIRTUAL_KEY, "vk-main")
    view = compiler.compile(world.state())
    assert refusals(compiler) == [(Kind.CONFIG, "pc-n", "slug_unknown")]
    assert shown(view)["config"] == set()
    world.virtual_key("main", "sim", STORED_KEY)
    assert shown(compiler.compile(world.state()))["config"] == {"pc-n"}


def test_two_keys_of_one_hash_are_one_key_and_a_refusal(world: World) -> None:
    world.api_key("k2", world.key)
    compiler = new_compiler()
    caller = compiler.compile(world.state()).caller(world.key)
    assert caller is not None
    assert caller.id == "k1"
    assert refusals(compiler) == [(Kind.API_KEY, "k2", "key_taken")]


@pytest.mark.parametrize("workspace", ["w2", "nowhere"])
def test_what_says_it_belongs_to_another_shard_s_workspace_is_refused(world: World, workspace: str) -> None:
    world.put("ws:w2", Kind.WORKSPACE, id="w2", slug="w2", name="W2")
    stranger = new_api_key().reveal_text()
    world.api_key("k2", stranger, workspace=workspace)
    compiler = new_compiler()
    assert compiler.compile(world.state()).caller(stranger) is None
    assert refusals(compiler) == [(Kind.API_KEY, "k2", "workspace_unknown")]


def test_a_refused_provider_is_not_replaced_by_the_built_in_one(world: World) -> None:
    world.put("global", Kind.PROVIDER, id="openai", name="Ours", base_url="https://private.test/v1")
    world.virtual_key("third", "openai", "sk-for-the-private-host")
    good = world.caller().workspace
    assert good.virtual_keys["third"].place.origin.host == "private.test"
    for bad in (SHUT, b'{"id": "openai", "name": "Ours", "base_url": "https://a\\\\b"}'):
        world.put_bytes("global", Kind.PROVIDER, "openai", bad)
        compiler = new_compiler()
        caller = compiler.compile(world.state()).caller(world.key)
        assert caller is not None
        assert "third" not in caller.workspace.virtual_keys
        assert refusals(compiler)[1:] == [(Kind.VIRTUAL_KEY, "vk-third", "provider_unknown")]


def test_a_row_takes_the_place_of_the_built_in_one(world: World) -> None:
    world.put("global", Kind.PROVIDER, id="openai", name="Ours", base_url="https://private.test/v1")
    assert world.caller().workspace.providers["openai"].place.origin.host == "private.test"
    world.drop("global", Kind.PROVIDER, "openai")
    assert world.caller().workspace.providers["openai"].place.origin.host == "api.openai.com"


def test_a_provider_s_own_models_are_listed_beside_the_catalogue_s_and_bind_nobody(world: World) -> None:
    own = {"id": "sim", "name": "Sim", "base_url": "http://sim.test:8000/v1", "models": ["own", "sim-chat"]}
    world.put("org:o1", Kind.PROVIDER, **own)
    world.drop("global", Kind.PROVIDER, "sim")
    workspace = world.caller().workspace
    assert {name for name, slugs in workspace.listing.items() if "main" in slugs} == {"sim-chat", "both", "own"}
    assert workspace.virtual_keys["main"].models is None


def test_a_kind_of_the_future_is_neither_opened_nor_refused(world: World) -> None:
    world.put_bytes(WORKSPACE, "hologram", "h1", SHUT)
    view = world.view()
    assert view.caller(world.key) is not None
    assert "h1" not in world.opener.opened


def test_a_field_of_the_future_is_ignored(world: World) -> None:
    world.api_key("k1", world.key, invented_later={"a": 1})
    assert world.view().caller(world.key) is not None


@pytest.mark.parametrize("count", [0, 2])
def test_a_state_has_exactly_one_organisation(world: World, count: int) -> None:
    if count == 0:
        world.drop("org:o1", Kind.ORGANISATION, "o1")
    else:
        key = base64.b64encode(b"k" * 32).decode()
        world.put("org:o2", Kind.ORGANISATION, id="o2", name="P", api_key_hash_key=key)
    with pytest.raises(NotServable):
        new_compiler().compile(world.state())


def test_only_what_changed_is_opened_again(world: World) -> None:
    compiler = new_compiler()
    compiler.compile(world.state())
    assert sorted(world.opener.opened) == sorted(id_ for _, _, id_ in world.names)
    world.opener.opened.clear()
    compiler.compile(world.state())
    assert world.opener.opened == []
    world.config("new", {"virtual_key": "main"})
    world.virtual_key("main", "sim", "sk-rotated")
    compiler.compile(world.state())
    assert sorted(world.opener.opened) == ["pc-new", "vk-main"]


def test_a_credential_is_opened_at_its_first_use_and_once(world: World) -> None:
    view = world.view()
    caller = view.caller(world.key)
    assert caller is not None
    assert world.opener.credentials == []
    credential = caller.workspace.virtual_keys["main"].credential
    assert credential.key().reveal() == STORED_KEY.encode()
    assert credential.key().reveal() == STORED_KEY.encode()
    assert world.opener.credentials == ["vk-main"]


@pytest.mark.parametrize(
    "credential",
    [SHUT.decode(), "", "{", "[]", "{}", '{"api_key": 5}', '{"api_key": ""}', '{"api_key": "a\\r\\nb: c"}'],
)
def test_a_credential_that_cannot_be_used_is_named_at_use_without_its_value(world: World, credential: str) -> None:
    world.virtual_key("main", "sim", "", credential=credential)
    view = world.caller().workspace.virtual_keys["main"]
    with pytest.raises(CredentialUnavailable) as caught:
        view.credential.key()
    assert "@main" in str(caught.value)
    assert "b: c" not in str(caught.value)


def test_a_credentials_own_certificates_come_along_with_those_of_its_provider(world: World, tmp_path: Path) -> None:
    authority, other = Authority.make(), Authority.make()
    of_row, own = (one.certificate.public_bytes(Encoding.PEM).decode() for one in (authority, other))
    authority.issue(tmp_path / "cert", tmp_path / "key")
    shown = (tmp_path / "cert").read_text() + (tmp_path / "key").read_text()
    row = {"id": "strict", "name": "Strict", "base_url": "https://strict.example/v1", "ca_certificates": of_row}
    world.put("org:o1", Kind.PROVIDER, **row)
    filled = {"api_key": "sk-s", "ca_certificates": own, "client_certificate": shown}
    world.virtual_key("strict", "strict", "", credential=orjson.dumps(filled).decode())
    world.virtual_key("plain", "strict", "sk-p")
    keys = world.caller().workspace.virtual_keys
    assert keys["strict"].credential.key().reveal() == b"sk-s"
    trusted = keys["strict"].credential.trust
    assert (trusted.ca.decode(), trusted.client.reveal_text()) == (of_row + own, shown)
    keys["plain"].credential.key()
    assert keys["plain"].credential.trust == keys["plain"].place.trust
    assert (keys["plain"].place.trust.ca.decode(), keys["plain"].place.trust.client) == (of_row, None)
    keys["main"].credential.key()
    assert keys["main"].credential.trust is None


def test_what_is_really_sealed_compiles_and_its_credential_opens() -> None:
    organisation, key = "o1", envelope.new_key()
    world = World()
    shards: dict[str, list[SealedResource]] = {}
    for shard in world.state().shards.values():
        for plain in shard.resources:
            body = orjson.loads(plain.sealed)
            if plain.kind == Kind.VIRTUAL_KEY:
                subject = credential_subject(organisation, plain.shard, plain.id, 1)
                sealed = envelope.seal(key, subject, body["credential"].encode(), Suite.PLAIN)
                body["credential"] = base64.b64encode(sealed).decode()
            sealed = envelope.seal(key, plain.subject(organisation), orjson.dumps(body), Suite.COMPRESSED)
            resource = SealedResource(plain.shard, plain.kind, plain.id, 1, 1, 1, sealed)
            shards.setdefault(plain.shard, []).append(resource)
    # One that was moved from another place opens for nobody.
    moved = SealedResource(WORKSPACE, Kind.API_KEY.value, "k9", 1, 1, 1, shards[WORKSPACE][0].sealed)
    shards[WORKSPACE].append(moved)
    opener = Opener(organisation, {(shard, 1): key for shard in shards})
    states = {name: ShardState(name, 1, 1, tuple(resources)) for name, resources in shards.items()}
    compiler = new_compiler()
    caller = compiler.compile(FakeState(world.state().lease, states, opener)).caller(world.key)
    assert caller is not None
    assert caller.workspace.virtual_keys["main"].credential.key().reveal() == STORED_KEY.encode()
    assert refusals(compiler) == [(Kind.API_KEY, "k9", "envelope_tag")]


def test_no_secret_prints_from_a_view(world: World) -> None:
    world.config("n", {"provider": "openai", "api_key": "sk-saved-in-config"})
    caller = world.caller()
    caller.workspace.virtual_keys["main"].credential.key()
    route = caller.workspace.configs["n"].route
    assert isinstance(route, Target)
    assert route.credential is not None
    printed = repr(caller) + repr(world.view()) + repr(route)
    assert "sk-saved" not in printed
    assert STORED_KEY not in printed
    assert "api.openai.com" in printed, "the control: what may be seen is seen"


def test_every_built_in_row_compiles() -> None:
    providers = World().caller().workspace.providers
    assert {"openai", "groq", "mistral-ai"} <= set(providers)
    own = [view.place for id_, view in providers.items() if id_ not in ("sim", "acme")]
    assert all(place.origin.scheme == ("http" if place.origin.host == "localhost" else "https") for place in own)


@pytest.mark.parametrize("url", ["https://user@host", "https://host?a=b", "https://host#f", "ftp://host", "host", ""])
def test_a_provider_s_base_url_is_a_whole_url(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        place_of(Provider(id="p", name="P", base_url=url))
