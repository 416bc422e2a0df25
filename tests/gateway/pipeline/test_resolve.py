"""Which target a call goes to, by which of the ways, and which ways there are not."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.pipeline.allow import allow
from gateway.pipeline.choose import Facts, decide
from gateway.pipeline.metadata import NO_METADATA
from gateway.pipeline.resolve import effective_model, resolve
from gateway.providers.base import Call, Door
from gateway.view.route import Fallback, Route, Target, targets_of
from shared.crypto.secret import Secret
from shared.models.noun import Kind
from tests.fakes.world import STORED_KEY, World

EVIL = "https://evil.test/v1"
OWN_KEY = {"authorization": "Bearer sk-own"}


@pytest.fixture
def world() -> World:
    return World()


def call(model: Any = "sim-chat", door: Door = Door.CHAT, **body: Any) -> Call:
    body = {**({} if model is None else {"model": model}), **body}
    return Call(door, orjson.dumps(body), body, stream=False)


def config(body: dict[str, Any] | str) -> dict[str, str]:
    return {"x-portkey-config": body if isinstance(body, str) else orjson.dumps(body).decode()}


def routed(world: World, headers: dict[str, str], asked: Call | None = None) -> Route:
    asked, caller = asked or call(), world.caller()
    resolved = resolve(headers, asked, caller)
    allow(resolved.route, resolved, asked, caller)
    return resolved.route


def target(world: World, headers: dict[str, str], asked: Call | None = None) -> Target:
    route = routed(world, headers, asked)
    assert isinstance(route, Target)
    return route


def refused(world: World, headers: dict[str, str], asked: Call | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        routed(world, headers, asked)
    return caught.value


def key_of(target: Target) -> bytes | None:
    return target.credential.key().reveal() if target.credential is not None else None


# The ways, and which is stronger


def test_the_ways_in_their_order_of_strength(world: World) -> None:
    world.config("pc", {"virtual_key": "second"})
    headers = {
        **config("pc"),
        "x-portkey-virtual-key": "main",
        "x-portkey-provider": "openai",
        "x-portkey-api-key": world.key,
        **OWN_KEY,
    }
    asked = call("@main/sim-chat")
    assert target(world, headers, asked).virtual_key == "second"
    del headers["x-portkey-config"]
    assert target(world, headers, asked).virtual_key == "main"
    del headers["x-portkey-virtual-key"]
    own = target(world, headers, asked)
    assert (own.place.provider, own.virtual_key, own.own_key, key_of(own)) == ("openai", None, True, b"sk-own")
    del headers["x-portkey-provider"]
    assert target(world, headers, asked).virtual_key == "main"
    assert target(world, headers, call("acme-chat")).virtual_key == "second"


@pytest.mark.parametrize("word", ["config", "virtual-key", "provider", "custom-host"])
def test_our_own_spelling_of_a_header_means_the_same(world: World, word: str) -> None:
    world.config("pc", {"virtual_key": "second"})
    value = {"config": "pc", "virtual-key": "second", "provider": "@second", "custom-host": EVIL}[word]
    headers = {"x-portkey-provider": "openai", **OWN_KEY} if word == "custom-host" else {}
    ours = target(world, {**headers, f"x-gatehouse-{word}": value})
    theirs = target(world, {**headers, f"x-portkey-{word}": value})
    assert (ours.virtual_key, ours.place, ours.path) == (theirs.virtual_key, theirs.place, theirs.path)
    assert ours.virtual_key == (None if word == "custom-host" else "second")


@pytest.mark.parametrize("slug", ["main", "@main", " main "])
def test_a_virtual_key_is_named_with_or_without_its_sign(world: World, slug: str) -> None:
    found = target(world, {"x-portkey-virtual-key": slug})
    assert (found.virtual_key, key_of(found), found.path) == ("main", STORED_KEY.encode(), "config")


@pytest.mark.parametrize("header", ["x-portkey-virtual-key", "x-portkey-provider"])
def test_the_target_s_own_slug_is_no_part_of_the_model_s_name(world: World, header: str) -> None:
    asked = call("@main/org/model")
    assert effective_model(target(world, {header: "@main"}, asked), asked) == "org/model"
    assert effective_model(target(world, {}, asked), asked) == "org/model"


def test_another_slug_stays_part_of_the_model_s_name(world: World) -> None:
    asked = call("@cf/meta/llama")
    assert effective_model(target(world, {"x-portkey-virtual-key": "main"}, asked), asked) == "@cf/meta/llama"


@pytest.mark.parametrize("model", ["@main", "@main/", "@/x", "@"])
def test_half_a_slug_and_model_is_refused(world: World, model: str) -> None:
    assert refused(world, {}, call(model)).row.status == 400


def test_a_bare_provider_needs_the_caller_s_own_key(world: World) -> None:
    error = refused(world, {"x-portkey-provider": "openai", "authorization": f"Bearer {world.key}"})
    assert error.code is Code.PROVIDER_KEY_MISSING
    assert world.key not in error.message


def test_a_host_of_one_s_own_and_one_that_wants_no_key_need_none_beside_a_bare_provider(world: World) -> None:
    """As the original's guides for Ollama and for models of one's own have it."""
    world.put("global", Kind.PROVIDER, id="vllm", name="V", base_url="http://v.test/v1", credential="optional_api_key")
    ours = {"authorization": f"Bearer {world.key}"}
    hosted = {"x-portkey-custom-host": "https://own.test/v1"}
    for headers, host in (
        ({"x-portkey-provider": "vllm"}, "v.test"),
        ({"x-portkey-provider": "openai", **hosted}, "own.test"),
        ({"x-portkey-provider": "openai", **config({"custom_host": "https://own.test/v1"})}, "own.test"),
    ):
        found = target(world, {**headers, **ours})
        assert (found.place.origin.host, found.credential) == (host, None)
    assert key_of(target(world, {"x-portkey-provider": "vllm", **OWN_KEY})) == b"sk-own"
    world.workspace(inline={"keys": False, "configs": True, "hosts": True})
    assert refused(world, {"x-portkey-provider": "vllm"}).code is Code.INLINE_PROVIDER_BLOCKED
    world.workspace(inline={"keys": True, "configs": True, "hosts": False})
    assert refused(world, {"x-portkey-provider": "openai", **hosted}).code is Code.INLINE_CUSTOM_HOST_BLOCKED


def test_an_alias_is_stronger_than_the_catalogue(world: World) -> None:
    world.workspace(model_aliases={"sim-chat": {"virtual_key": "second", "model": "acme-chat"}})
    found = target(world, {})
    assert (found.virtual_key, effective_model(found, call())) == ("second", "acme-chat")


def test_a_bare_name_in_several_places_is_refused_with_the_candidates(world: World) -> None:
    error = refused(world, {}, call("both"))
    assert error.code is Code.MODEL_AMBIGUOUS
    assert "@main/both" in error.message
    assert "@second/both" in error.message


def test_a_model_with_a_row_for_each_of_its_doors_is_not_ambiguous(world: World) -> None:
    world.put("global", Kind.MODEL, id="m9", provider="sim", name="sim-chat", type="completion")
    assert target(world, {}).virtual_key == "main"


def test_the_providers_a_workspace_allows_leave_one_candidate(world: World) -> None:
    world.workspace(allowed_providers=["acme"])
    assert target(world, {}, call("both")).virtual_key == "second"


def test_an_ambiguous_name_goes_to_the_default_config(world: World) -> None:
    world.config("d", {"virtual_key": "second"})
    world.workspace(default_config="d")
    assert target(world, {}, call("both")).virtual_key == "second"


def test_a_key_s_default_config_is_stronger_than_its_workspace_s(world: World) -> None:
    world.config("d", {"virtual_key": "second"})
    world.config("mine", {"virtual_key": "main"})
    world.workspace(default_config="d")
    assert target(world, {}, call("unheard-of")).virtual_key == "second"
    world.api_key("k1", world.key, default_config="mine")
    assert target(world, {}, call("unheard-of")).virtual_key == "main"


def test_a_default_config_that_reaches_the_listed_virtual_key_is_taken_whole(world: World) -> None:
    body = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "second"}, {"virtual_key": "main"}]}
    world.config("d", body)
    world.workspace(default_config="d")
    assert isinstance(routed(world, {}), Fallback)
    world.config("d", {"virtual_key": "second"})
    assert target(world, {}).virtual_key == "main", "it does not reach the only key that lists the model"


def test_nothing_that_lists_the_model_is_a_400_naming_it(world: World) -> None:
    error = refused(world, {}, call("unheard-of"))
    assert error.code is Code.TARGET_MISSING
    assert "unheard-of" in error.message
    assert refused(world, {}, call(None)).code is Code.TARGET_MISSING


@pytest.mark.parametrize(
    ("headers", "model"),
    [
        ({"x-portkey-virtual-key": "lost"}, "m"),
        ({"x-portkey-provider": "@lost"}, "m"),
        ({}, "@lost/m"),
        (config({"virtual_key": "lost"}), "m"),
        (config({"provider": "@lost"}), "m"),
        (config({"targets": [{"virtual_key": "main"}, {"virtual_key": "lost"}]}), "m"),
        (config("lost"), "m"),
    ],
)
def test_an_unknown_slug_is_a_400_naming_it(world: World, headers: dict[str, str], model: str) -> None:
    error = refused(world, headers, call(model))
    assert (error.code, error.row.status) == (Code.SLUG_UNKNOWN, 400)
    assert "lost" in error.message


@pytest.mark.parametrize("header", ["config", "virtual-key", "provider", "custom-host"])
@pytest.mark.parametrize("text", ["\udcff", "@\udcff", "ä" * 50, '{"a":"\udcff"}'])
def test_bytes_that_are_no_text_make_an_error_that_can_be_sent(world: World, header: str, text: str) -> None:
    error = refused(world, {"x-portkey-provider": "openai", **OWN_KEY, f"x-portkey-{header}": text})
    assert error.row.status == 400
    orjson.dumps(error.message)


def test_a_virtual_key_of_another_workspace_is_unknown(world: World) -> None:
    world.put("ws:w2", Kind.WORKSPACE, id="w2", slug="w2", name="W2")
    credential = orjson.dumps({"api_key": "sk-theirs"}).decode()
    world.put(
        "ws:w2",
        Kind.VIRTUAL_KEY,
        id="t",
        workspace="w2",
        slug="theirs",
        name="t",
        provider="sim",
        credential=credential,
    )
    assert refused(world, {"x-portkey-virtual-key": "theirs"}).code is Code.SLUG_UNKNOWN


# Configs a caller brings along


def test_an_inline_config_names_its_targets_by_path(world: World) -> None:
    body = {
        "strategy": {"mode": "fallback", "on_status_codes": [429]},
        "override_params": {"temperature": 0, "top_p": 1},
        "targets": [
            {"virtual_key": "main", "override_params": {"temperature": 1}},
            {"strategy": {"mode": "fallback"}, "targets": [{"provider": "@second"}, {"virtual_key": "main"}]},
        ],
    }
    route = routed(world, config(body))
    assert isinstance(route, Fallback)
    assert route.on_status_codes == frozenset({429})
    inner = route.routes[1]
    assert isinstance(inner, Fallback)
    assert inner.on_status_codes is None
    assert [(t.path, t.virtual_key, t.overrides) for t in targets_of(route)] == [
        ("config.targets[0]", "main", {"temperature": 1, "top_p": 1}),
        ("config.targets[1].targets[0]", "second", {"temperature": 0, "top_p": 1}),
        ("config.targets[1].targets[1]", "main", {"temperature": 0, "top_p": 1}),
    ]


def test_a_single_strategy_takes_the_first_target(world: World) -> None:
    body = {"strategy": {"mode": "single"}, "targets": [{"virtual_key": "second"}, {"virtual_key": "main"}]}
    found = target(world, config(body))
    assert (found.virtual_key, found.path) == ("second", "config.targets[0]")


def test_a_config_without_targets_joins_what_the_other_ways_name(world: World) -> None:
    only_parameters = config({"override_params": {"temperature": 0}})
    joined = target(world, {**only_parameters, "x-portkey-virtual-key": "second"})
    assert (joined.virtual_key, joined.overrides) == ("second", {"temperature": 0})
    assert target(world, only_parameters).virtual_key == "main"


def test_a_config_without_targets_joins_every_target_of_a_default_config(world: World) -> None:
    targets = [{"virtual_key": "second", "override_params": {"top_p": 0.5, "temperature": 1}}, {"virtual_key": "main"}]
    world.config("d", {"strategy": {"mode": "fallback"}, "targets": targets})
    world.workspace(default_config="d")
    route = routed(world, config({"override_params": {"temperature": 0}}), call("unheard-of"))
    assert [t.overrides for t in targets_of(route)] == [{"top_p": 0.5, "temperature": 0}, {"temperature": 0}]


def test_a_default_config_without_targets_joins_too(world: World) -> None:
    world.config("d", {"override_params": {"temperature": 0}})
    world.workspace(default_config="d")
    assert target(world, {"x-portkey-virtual-key": "second"}).overrides == {"temperature": 0}


@pytest.mark.parametrize("text", ["{", '{"a":}', '{"provider": "openai",}'])
def test_an_inline_config_that_is_no_json_says_where(world: World, text: str) -> None:
    error = refused(world, config(text))
    assert (error.code, error.param) == (Code.CONFIG_INVALID, "x-portkey-config")
    assert "line 1, column" in error.message


def test_an_inline_config_that_cannot_work_names_each_fault(world: World) -> None:
    error = refused(world, config({"targets": [{"prompt_id": "p"}, {"virtual_key": "main", "retry": {}}]}))
    assert error.code is Code.CONFIG_INVALID
    assert [fault.path for fault in error.faults] == [("targets", 0, "prompt_id"), ("targets", 1, "retry", "attempts")]
    assert "retry" in error.message
    assert "prompt_id" in error.message


@pytest.mark.parametrize("text", ['[{"api_key": "sk-marker"}]', '"sk-marker"', ' \n{"api_key": "sk-marker"}'])
def test_json_in_the_config_header_is_never_repeated(world: World, text: str) -> None:
    error = refused(world, config(text))
    assert error.code is Code.CONFIG_INVALID
    assert "sk-marker" not in error.message


def test_inline_configs_can_be_forbidden_while_saved_ones_go_on(world: World) -> None:
    world.config("pc", {"virtual_key": "second"})
    world.workspace(inline={"keys": True, "configs": False, "hosts": True})
    assert refused(world, config({"virtual_key": "main"})).code is Code.INLINE_CONFIG_BLOCKED
    assert target(world, config("pc")).virtual_key == "second"


@pytest.mark.parametrize(
    "headers",
    [{"x-portkey-provider": "openai", **OWN_KEY}, config({"provider": "openai", "api_key": "sk-own"})],
)
def test_own_keys_can_be_forbidden_while_stored_ones_go_on(world: World, headers: dict[str, str]) -> None:
    assert key_of(target(world, headers)) == b"sk-own"
    world.workspace(inline={"keys": False, "configs": True, "hosts": True})
    assert refused(world, headers).code is Code.INLINE_PROVIDER_BLOCKED
    assert target(world, config({"virtual_key": "main"})).virtual_key == "main"


def test_a_key_saved_in_a_config_is_no_key_of_the_caller_s(world: World) -> None:
    world.config("pc", {"provider": "openai", "api_key": "sk-saved"})
    world.workspace(default_config="pc", inline={"keys": False, "configs": True, "hosts": True})
    assert key_of(target(world, config("pc"))) == b"sk-saved"
    joined = target(world, config({"override_params": {"temperature": 0}}), call("unheard-of"))
    assert key_of(joined) == b"sk-saved"


def test_a_key_may_be_narrower_than_its_workspace_and_never_wider(world: World) -> None:
    headers = config({"virtual_key": "main"})
    world.api_key("k1", world.key, inline={"configs": False})
    assert refused(world, headers).code is Code.INLINE_CONFIG_BLOCKED
    world.workspace(inline={"keys": True, "configs": False, "hosts": True})
    world.api_key("k1", world.key, inline={"configs": True})
    assert refused(world, headers).code is Code.INLINE_CONFIG_BLOCKED


# Hosts: a stored key never goes where a caller says

WAYS_TO_NAME_A_HOST: list[tuple[dict[str, str], str]] = [
    ({"x-portkey-virtual-key": "main", "x-portkey-custom-host": EVIL}, "sim-chat"),
    ({"x-portkey-provider": "@main", "x-gatehouse-custom-host": EVIL}, "sim-chat"),
    ({"x-portkey-custom-host": EVIL}, "@main/sim-chat"),
    ({"x-portkey-custom-host": EVIL}, "sim-chat"),
    ({"x-portkey-custom-host": EVIL}, "alias"),
    ({"x-portkey-custom-host": EVIL}, "goes-to-the-default"),
    ({**config("saved"), "x-portkey-custom-host": EVIL}, "sim-chat"),
    ({**config("saved-key"), "x-portkey-custom-host": EVIL}, "sim-chat"),
    ({**config("saved-nested"), "x-portkey-custom-host": EVIL}, "sim-chat"),
    (config({"virtual_key": "main", "custom_host": EVIL}), "sim-chat"),
    (config({"provider": "@main", "custom_host": EVIL}), "sim-chat"),
    (config({"custom_host": EVIL, "targets": [{"virtual_key": "main"}]}), "sim-chat"),
    (config({"custom_host": EVIL, "targets": [{"targets": [{"provider": "@main"}]}]}), "sim-chat"),
    (config({"custom_host": EVIL}), "sim-chat"),
    (config({"custom_host": EVIL}), "@main/sim-chat"),
    (config({"custom_host": EVIL}), "goes-to-the-default"),
    ({**config({"custom_host": EVIL}), "x-portkey-virtual-key": "main"}, "sim-chat"),
    ({**config({"override_params": {"n": 1}}), "x-portkey-custom-host": EVIL}, "goes-to-the-default"),
    (
        config(
            {
                "strategy": {"mode": "fallback"},
                "targets": [
                    {"provider": "openai", "api_key": "sk-own", "custom_host": EVIL},
                    {"virtual_key": "main", "custom_host": EVIL},
                ],
            }
        ),
        "sim-chat",
    ),
]


@pytest.mark.parametrize("default", ["saved", "saved-key", "saved-nested"])
@pytest.mark.parametrize(("headers", "model"), WAYS_TO_NAME_A_HOST)
def test_a_stored_key_never_goes_to_a_host_that_a_request_names(
    world: World, headers: dict[str, str], model: str, default: str
) -> None:
    world.config("saved", {"virtual_key": "main"})
    world.config("saved-key", {"provider": "openai", "api_key": "sk-saved"})
    world.config(
        "saved-nested", {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "api_key": "sk-saved"}]}
    )
    world.workspace(default_config=default, model_aliases={"alias": {"virtual_key": "main", "model": "sim-chat"}})
    error = refused(world, {**headers, "authorization": "Bearer sk-own"}, call(model))
    assert (error.code, error.row.status) == (Code.INLINE_CUSTOM_HOST_BLOCKED, 400)
    assert world.opener.credentials == []


def test_a_saved_host_takes_a_stored_key(world: World) -> None:
    world.config("pc", {"custom_host": "https://proxy.test/x/", "targets": [{"virtual_key": "main"}]})
    found = target(world, config("pc"))
    assert (found.place.origin.host, found.place.prefix, found.inline_host) == ("proxy.test", "/x", False)
    world.virtual_key("main", "sim", STORED_KEY, base_url="https://private.test/v2")
    assert target(world, {"x-portkey-virtual-key": "main"}).place.origin.host == "private.test"


def test_the_caller_s_own_key_goes_to_the_caller_s_own_host(world: World) -> None:
    for headers in (
        {"x-portkey-provider": "openai", "x-portkey-custom-host": EVIL, **OWN_KEY},
        config({"provider": "openai", "api_key": "sk-own", "custom_host": EVIL}),
    ):
        found = target(world, headers)
        assert (found.place.origin.host, key_of(found), found.inline_host) == ("evil.test", b"sk-own", True)
    world.workspace(inline={"keys": True, "configs": True, "hosts": False})
    error = refused(world, {"x-portkey-provider": "openai", "x-portkey-custom-host": EVIL, **OWN_KEY})
    assert error.code is Code.INLINE_CUSTOM_HOST_BLOCKED


def test_the_header_s_host_is_stronger_than_the_config_s(world: World) -> None:
    body = {"provider": "openai", "api_key": "sk-own", "custom_host": "https://first.test"}
    assert target(world, {**config(body), "x-portkey-custom-host": EVIL}).place.origin.host == "evil.test"


@pytest.mark.parametrize("host", ["evil.test", "ftp://evil.test", "https://a@evil.test", "https://", "http://127.1"])
def test_a_host_that_is_no_url_is_refused(world: World, host: str) -> None:
    error = refused(world, {"x-portkey-provider": "openai", "x-portkey-custom-host": host, **OWN_KEY})
    assert error.code is Code.CONFIG_INVALID


@pytest.mark.parametrize("spelling", ["portkey", "gatehouse"])
@pytest.mark.parametrize("side", ["input", "output"])
def test_guardrails_in_a_header_are_refused_by_name(world: World, spelling: str, side: str) -> None:
    error = refused(world, {f"x-{spelling}-default-{side}-guardrails": "[]", "x-portkey-virtual-key": "main"})
    assert (error.code, error.param) == (Code.HEADER_INVALID, f"x-portkey-default-{side}-guardrails")


# Allow-lists

LIMITED = ["sim-*", "alias", "both"]

ALLOWED_CALLS: list[tuple[dict[str, str], str | None]] = [
    ({}, "sim-chat"),
    ({}, "@main/sim-chat"),
    ({"x-portkey-virtual-key": "main"}, "sim-other"),
    ({}, "alias"),
    (config("default"), "sim-elsewhere"),
    ({}, "sim-elsewhere"),
    (config({"override_params": {"temperature": 0}}), "alias"),
    (config({"virtual_key": "second"}), "both"),
    (config({"virtual_key": "main", "override_params": {"model": "sim-2"}}), None),
    (config({"virtual_key": "main", "override_params": {"model": "@main/sim-2"}}), None),
]
FORBIDDEN_CALLS: list[tuple[dict[str, str], str | None]] = [
    ({}, "acme-chat"),
    ({}, "simx"),
    ({}, "@second/acme-chat"),
    ({"x-portkey-virtual-key": "second"}, "acme-chat"),
    (config({"virtual_key": "second"}), "acme-chat"),
    (config({"virtual_key": "second", "override_params": {"model": "acme-chat"}}), "sim-chat"),
    (config({"virtual_key": "second", "override_params": {"model": "acme-chat"}}), None),
    (config({"override_params": {"model": "acme-chat"}}), "sim-chat"),
    (config({"override_params": {"model": "@main/acme-chat"}, "targets": [{"virtual_key": "main"}]}), "sim-chat"),
    (config({"targets": [{"targets": [{"virtual_key": "main", "override_params": {"model": "x"}}]}]}), "sim-chat"),
    (
        config(
            {
                "strategy": {"mode": "fallback"},
                "targets": [{"virtual_key": "main"}, {"virtual_key": "second", "override_params": {"model": "x"}}],
            }
        ),
        "sim-chat",
    ),
    (config("other"), "sim-chat"),
    (config("other"), None),
    (config("other-parameters"), "sim-chat"),
]


def limited(world: World) -> World:
    world.api_key("k1", world.key, models=LIMITED)
    world.config("default", {"virtual_key": "second", "override_params": {"model": "acme-chat"}})
    world.config("other", {"virtual_key": "second", "override_params": {"model": "acme-chat"}})
    world.config("other-parameters", {"override_params": {"model": "acme-chat"}})
    aliases = {"alias": {"virtual_key": "second", "model": "acme-chat"}}
    world.workspace(default_config="default", model_aliases=aliases)
    return world


@pytest.mark.parametrize(("headers", "model"), ALLOWED_CALLS)
def test_a_limited_key_may_use_its_models(world: World, headers: dict[str, str], model: str | None) -> None:
    routed(limited(world), headers, call(model))


@pytest.mark.parametrize(("headers", "model"), FORBIDDEN_CALLS)
def test_a_limited_key_cannot_escape(world: World, headers: dict[str, str], model: str | None) -> None:
    error = refused(limited(world), headers, call(model))
    assert (error.code, error.row.status) == (Code.MODEL_FORBIDDEN, 403)
    assert any(name in error.message for name in ("acme-chat", "simx", "'x'"))


@given(st.text(st.sampled_from("ab*"), min_size=1, max_size=4), st.text(st.sampled_from("ab*"), max_size=4))
def test_a_star_matches_any_rest_and_only_at_the_end(pattern: str, model: str) -> None:
    world = World()
    world.api_key("k1", world.key, models=[pattern])
    expected = model[: len(pattern) - 1] == pattern[:-1] if pattern.endswith("*") else model == pattern
    assert world.caller().may_use(model) is expected


VIRTUAL_KEY_ESCAPES: list[tuple[dict[str, str], str]] = [
    ({"x-portkey-virtual-key": "main"}, "sim-big"),
    ({"x-portkey-provider": "@main"}, "sim-big"),
    ({"x-portkey-provider": "@main"}, "@main/sim-big"),
    ({}, "@main/sim-big"),
    ({}, "alias"),
    (config({"virtual_key": "main"}), "sim-big"),
    (config({"virtual_key": "main", "override_params": {"model": "sim-big"}}), "sim-chat"),
    (config({"virtual_key": "main", "override_params": {"model": "@main/sim-big"}}), "sim-chat"),
    ({**config({"override_params": {"model": "sim-big"}}), "x-portkey-virtual-key": "main"}, "sim-chat"),
    (config("saved"), "sim-chat"),
]


@pytest.mark.parametrize(("headers", "model"), VIRTUAL_KEY_ESCAPES)
def test_a_virtual_key_goes_to_no_model_beyond_its_list(world: World, headers: dict[str, str], model: str) -> None:
    world.virtual_key("main", "sim", STORED_KEY, models=["sim-chat"])
    world.config("saved", {"virtual_key": "main", "override_params": {"model": "sim-big"}})
    world.workspace(model_aliases={"alias": {"virtual_key": "main", "model": "sim-big"}})
    error = refused(world, headers, call(model))
    assert (error.code, error.row.status) == (Code.MODEL_FORBIDDEN, 403)
    assert "sim-big" in error.message
    assert target(world, {"x-portkey-virtual-key": "main"}).virtual_key == "main"


PROVIDER_ESCAPES: list[tuple[dict[str, str], str]] = [
    ({"x-portkey-virtual-key": "second"}, "acme-chat"),
    ({"x-portkey-provider": "acme", **OWN_KEY}, "acme-chat"),
    ({}, "@second/acme-chat"),
    ({}, "alias"),
    (config({"provider": "acme", "api_key": "sk-own"}), "acme-chat"),
    (config({"provider": "acme", "api_key": "sk-own", "custom_host": EVIL}), "acme-chat"),
    (config({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"provider": "@second"}]}), "both"),
    (config("saved"), "acme-chat"),
    ({}, "goes-to-the-default"),
]


@pytest.mark.parametrize(("headers", "model"), PROVIDER_ESCAPES)
def test_a_workspace_calls_no_provider_beyond_its_list(world: World, headers: dict[str, str], model: str) -> None:
    aliases = {"alias": {"virtual_key": "second", "model": "acme-chat"}}
    world.config("saved", {"virtual_key": "second"})
    world.workspace(allowed_providers=["sim"], default_config="saved", model_aliases=aliases)
    error = refused(world, headers, call(model))
    assert (error.code, error.row.status) == (Code.PROVIDER_FORBIDDEN, 403)
    assert "acme" in error.message
    assert target(world, {}).virtual_key == "main"


def test_a_door_that_the_provider_lacks_is_refused_by_name(world: World) -> None:
    error = refused(world, {"x-portkey-virtual-key": "second"}, call("acme-chat", Door.EMBEDDINGS))
    assert error.code is Code.DOOR_UNSUPPORTED
    assert "embeddings" in error.message


def test_no_model_anywhere_is_a_400(world: World) -> None:
    error = refused(world, {"x-portkey-virtual-key": "main"}, call(None))
    assert (error.code, error.param) == (Code.MODEL_MISSING, "/model")


def test_resolving_opens_no_credential(world: World) -> None:
    routed(world, {"x-portkey-virtual-key": "main"})
    routed(world, config({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}]}))
    assert world.opener.credentials == []


def test_a_call_s_own_changes_are_not_the_view_s(world: World) -> None:
    world.config("d", {"virtual_key": "main", "override_params": {"temperature": 1}})
    world.workspace(default_config="d")
    caller = world.caller()
    before = caller.workspace.configs["d"].route
    resolve(config({"override_params": {"temperature": 0, "n": 2}}), call("unheard-of"), caller)
    assert caller.workspace.configs["d"].route is before
    assert isinstance(before, Target)
    assert before.overrides == {"temperature": 1}


def test_the_hash_key_of_the_view_is_the_organisation_s(world: World) -> None:
    world.put("org:o1", Kind.ORGANISATION, id="o1", name="O", api_key_hash_key=base64.b64encode(b"x" * 32).decode())
    assert world.view().hash_key.matches(Secret(b"x" * 32).reveal())
    assert world.view().caller(world.key) is None


# What a config passes on, and what joins

PASSES_ON = {
    "strategy": {"mode": "fallback"},
    "targets": [{"virtual_key": "second"}, {"passthrough": True, "override_params": {"n": 2}, "request_timeout": 5}],
}


@pytest.mark.parametrize(
    ("headers", "model", "reached"),
    [
        ({"x-portkey-virtual-key": "main"}, "x", "main"),
        ({"x-portkey-provider": "@second"}, "x", "second"),
        ({"x-portkey-provider": "openai", **OWN_KEY}, "x", None),
        ({}, "@main/sim-chat", "main"),
        ({}, "sim-chat", "main"),
    ],
)
def test_a_passthrough_is_the_target_that_the_request_names(
    world: World, headers: dict[str, str], model: str, reached: str | None
) -> None:
    found = list(targets_of(routed(world, {**config(PASSES_ON), **headers}, call(model))))[1]
    assert (found.virtual_key, found.path, found.overrides) == (reached, "config.targets[1]", {"n": 2})
    assert found.handling.timeout_ms == 5
    assert found.own_key is (reached is None)


def test_a_passthrough_without_anything_named_is_refused_and_never_goes_round_by_the_default_config(
    world: World,
) -> None:
    world.config("d", {"targets": [{"passthrough": True}]})
    world.workspace(default_config="d")
    assert refused(world, {}, call("unheard-of")).code is Code.TARGET_MISSING


def test_a_passthrough_keeps_a_stored_key_from_a_host_of_the_caller_s(world: World) -> None:
    body = {"targets": [{"passthrough": True, "custom_host": EVIL}]}
    error = refused(world, {**config(body), "x-portkey-virtual-key": "main"})
    assert error.code is Code.INLINE_CUSTOM_HOST_BLOCKED


def test_a_config_without_targets_lays_its_settings_over_the_target_that_is_named(world: World) -> None:
    body = {
        "retry": {"attempts": 2},
        "request_timeout": 7,
        "default_params": {"n": 1},
        "drop_params": ["user"],
        "forward_headers": ["x-mine"],
        "cb_config": {"failure_threshold": 1},
    }
    for headers, model in (({"x-portkey-virtual-key": "main"}, "x"), ({}, "sim-chat"), ({}, "@main/x")):
        found = target(world, {**config(body), **headers}, call(model))
        assert found.virtual_key == "main"
        handling = found.handling
        assert handling.retry is not None
        assert (handling.retry.attempts, handling.timeout_ms, handling.defaults) == (2, 7, {"n": 1})
        assert (handling.drops, handling.forward_headers) == ((("user",),), ("x-mine",))
        assert found.breaker_key


def test_a_joining_config_that_writes_slug_and_model_says_where_the_call_goes(world: World) -> None:
    body = {"override_params": {"model": "@second/acme-chat"}}
    found = target(world, config(body), call("anything"))
    assert (found.virtual_key, effective_model(found, call("anything"))) == ("second", "acme-chat")
    named = target(world, {**config(body), "x-portkey-virtual-key": "main"}, call("anything"))
    assert named.virtual_key == "main", "a header is stronger"


def test_a_default_model_is_for_who_names_none(world: World) -> None:
    found = target(world, config({"virtual_key": "main", "default_params": {"model": "sim-x"}}), call(None))
    assert effective_model(found, call(None)) == "sim-x"
    assert effective_model(found, call("mine")) == "mine"


def test_a_limited_key_cannot_escape_by_a_default_model(world: World) -> None:
    limited(world)
    for body in (
        {"virtual_key": "second", "default_params": {"model": "acme-chat"}},
        {"default_params": {"model": "acme-chat"}},
    ):
        assert (
            refused(world, {**config(body), "x-portkey-virtual-key": "second"}, call(None)).code is Code.MODEL_FORBIDDEN
        )


def test_only_what_a_condition_names_has_to_be_allowed(world: World) -> None:
    condition = {"query": {"params.n": 1}, "then": "b"}
    body = {
        "strategy": {"mode": "conditional", "conditions": [condition], "default": "a"},
        "targets": [{"name": "a", "virtual_key": "main"}, {"name": "b", "virtual_key": "second"}],
    }

    def allowed(asked: Call) -> list[str | None]:
        caller = world.caller()
        resolved = resolve(config(body), asked, caller)
        route = decide(resolved.route, Facts(asked, {}, lambda: NO_METADATA))
        allow(route, resolved, asked, caller)
        return [found.virtual_key for found in targets_of(route)]

    assert allowed(call("sim-embed", Door.EMBEDDINGS)) == ["main"]
    with pytest.raises(GatewayError) as caught:
        allowed(call("acme-chat", Door.EMBEDDINGS, n=1))
    assert caught.value.code is Code.DOOR_UNSUPPORTED


def test_of_a_balance_every_target_has_to_be_allowed_so_that_no_draw_decides(world: World) -> None:
    body = {"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "second"}]}
    assert refused(world, config(body), call("x", Door.EMBEDDINGS)).code is Code.DOOR_UNSUPPORTED
