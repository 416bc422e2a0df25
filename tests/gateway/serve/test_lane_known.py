"""A connection on which the same head comes again and again: nothing that changes meanwhile is overlooked."""

import re
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from shared.clock import FakeClock
from shared.models.noun import Kind
from tests.fakes.front import CHAT, Front, front
from tests.fakes.transport import MemoryTransport
from tests.fakes.upstream import answers
from tests.fakes.world import SHUT, World
from tests.fixtures.certificates import Authority
from tests.fixtures.wire import request
from tests.gateway.serve.test_lane import Said, answered, quiet, said

OK = b'{"id": "1", "usage": {"prompt_tokens": 3, "completion_tokens": 5}}'


class Talk:
    """One connection, one head but for the body's length."""

    def __init__(self, world: World, *, calls: int, headers: dict[str, str] | None = None, clock: Any = None) -> None:
        self.world = world
        self.behind: Front = front(*(answers(200, OK) for _ in range(calls)), world=world, clock=clock)
        self.caller: MemoryTransport = self.behind.caller()
        self._headers = {"authorization": f"Bearer {world.key}", **(headers or {})}
        self._said = 0

    async def say(self, model: str = "sim-chat", **more: Any) -> Said:
        self.caller.feed(request("POST", CHAT, self._headers, {"model": model, **more}))
        self._said += 1
        answer = (await answered(self.caller, self._said))[-1]
        await quiet()
        return answer

    def changed(self) -> None:
        self.behind.server.pipeline._views.swap(self.world.view())

    @property
    def hosts(self) -> list[str]:
        return [sent.origin.host for sent in self.behind.client.requests]


async def test_each_body_goes_where_its_own_model_leads() -> None:
    talk = Talk(World(), calls=4)
    for model in ("sim-chat", "acme-chat", "acme-chat", "sim-chat"):
        assert (await talk.say(model, user="x" * len(model))).status == 200
    assert talk.hosts == ["sim.test", "acme.test", "acme.test", "sim.test"]


async def test_a_key_that_was_revoked_meanwhile_is_refused() -> None:
    world = World()
    talk = Talk(world, calls=3)
    assert [(await talk.say()).status for _ in range(2)] == [200, 200]
    world.api_key("k1", world.key, revoked=True)
    talk.changed()
    refused = await talk.say()
    assert (refused.status, refused.code) == (401, "invalid_api_key")


async def test_a_key_that_expired_meanwhile_is_refused() -> None:
    world, clock = World(), FakeClock()
    world.api_key("k1", world.key, expires_at_ms=clock.wall_ms() + 1_000)
    talk = Talk(world, calls=2, clock=clock)
    assert (await talk.say()).status == 200
    clock.advance(1.0)
    assert (await talk.say()).code == "api_key_expired"


async def test_a_model_that_was_taken_from_the_key_meanwhile_is_refused() -> None:
    world = World()
    talk = Talk(world, calls=2)
    assert (await talk.say()).status == 200
    world.api_key("k1", world.key, models=["acme-*"])
    talk.changed()
    assert (await talk.say()).status == 403


async def test_a_model_that_is_refused_is_refused_again() -> None:
    world = World()
    world.api_key("k1", world.key, models=["sim-*"])
    talk = Talk(world, calls=2)
    assert [(await talk.say(model)).status for model in ("acme-chat", "acme-chat", "sim-chat", "acme-chat")] == [
        403,
        403,
        200,
        403,
    ]


async def test_a_virtual_key_that_moved_meanwhile_is_found_where_it_is() -> None:
    world = World()
    talk = Talk(world, calls=2, headers={"x-portkey-virtual-key": "main"})
    assert (await talk.say()).status == 200
    world.virtual_key("main", "acme", "sk-other")
    talk.changed()
    assert (await talk.say()).status == 200
    assert talk.hosts == ["sim.test", "acme.test"]


async def test_a_config_in_the_header_is_drawn_from_anew_each_time() -> None:
    config = {
        "strategy": {"mode": "loadbalance"},
        "targets": [{"virtual_key": "main", "weight": 1}, {"virtual_key": "second", "weight": 1}],
    }
    talk = Talk(World(), calls=30, headers={"x-portkey-config": orjson.dumps(config).decode()})
    for _ in range(30):
        assert (await talk.say("both")).status == 200
    assert set(talk.hosts) == {"sim.test", "acme.test"}


CONFIGURED: dict[str, dict[str, Any]] = {
    "nothing more": {"virtual_key": "main"},
    "overrides": {"virtual_key": "main", "override_params": {"temperature": 0.5, "model": "sim-chat"}},
    "a timeout": {"virtual_key": "main", "request_timeout": 5_000},
    "retries": {"virtual_key": "main", "retry": {"attempts": 2}},
    "a breaker": {"virtual_key": "main", "cb_config": {"failure_threshold": 3, "cooldown_interval": 30_000}},
    "headers": {"virtual_key": "main", "forward_headers": ["x-own", "user-agent"]},
    "a fallback": {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "second"}, {"virtual_key": "main"}]},
    "a choice": {"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "main", "weight": 1}]},
}


@pytest.mark.parametrize("config", CONFIGURED.values(), ids=CONFIGURED)
@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["whole", "stream"])
async def test_what_is_known_of_a_head_changes_nothing_that_is_said(
    config: dict[str, Any], more: dict[str, Any]
) -> None:
    headers = {"x-portkey-config": orjson.dumps(config).decode(), "x-own": "1", "user-agent": "me"}
    talk = Talk(World(), calls=3, headers=headers)
    answers_ = [await talk.say(**more) for _ in range(3)]
    first, *rest = talk.behind.client.requests
    for again in rest:
        assert (again.origin, again.head.method, again.head.target) == (
            first.origin,
            first.head.method,
            first.head.target,
        )
        assert (again.head.headers, again.body, again.upload) == (first.head.headers, first.body, None)
        assert again.deadlines == first.deadlines
    heads = {re.sub(rb"lg_[0-9a-f]{32}", b"lg_", answer.head) for answer in answers_}
    assert len(heads) == 1


async def test_a_provider_s_key_that_was_replaced_meanwhile_is_sent_no_more() -> None:
    world = World()
    talk = Talk(world, calls=9)
    for key in ("sk-1", "sk-2", "sk-1"):
        world.virtual_key("main", "sim", key)
        talk.changed()
        for _ in range(3):
            assert (await talk.say()).status == 200
    said_ = [sent.head.headers for sent in talk.behind.client.requests]
    assert [b"sk-1" in headers for headers in said_] == [True] * 3 + [False] * 3 + [True] * 3
    assert [b"sk-2" in headers for headers in said_] == [False] * 3 + [True] * 3 + [False] * 3


async def test_one_head_serves_all_calls_with_a_key_until_the_configuration_changes() -> None:
    world = World()
    talk, heads = Talk(world, calls=9), []
    for _ in range(2):
        for _ in range(4):
            assert (await talk.say()).status == 200
        heads.append([id(sent.head) for sent in talk.behind.client.requests[-4:]])
        talk.changed()
    for before, first, *others in heads:
        assert before != first
        assert others == [first] * 2
    assert heads[0][1] != heads[1][1]


SIM: dict[str, Any] = {"id": "sim", "name": "Sim", "base_url": "http://sim.test:8000/v1"}


async def test_what_a_provider_s_row_says_meanwhile_is_in_the_next_head() -> None:
    world = World()
    talk = Talk(world, calls=15)
    rows: list[dict[str, Any]] = [
        {"headers": {"x-v": "1"}},
        {"headers": {"x-v": "2"}},
        {"base_url": "http://moved.test/v2"},
        {"auth_header": "x-key", "auth_prefix": ""},
        {},
    ]
    for row in rows:
        world.put("global", Kind.PROVIDER, **{**SIM, **row})
        talk.changed()
        for _ in range(3):
            assert (await talk.say()).status == 200
    sent = talk.behind.client.requests
    for same in (sent[at : at + 3] for at in range(0, 15, 3)):
        assert {(one.origin, one.head.target, one.head.headers) for one in same} == {
            (same[0].origin, same[0].head.target, same[0].head.headers)
        }
    v1, v2, moved, other, last = (one.head for one in sent[::3])
    assert (b"x-v: 1\r\n" in v1.headers, b"x-v: 2\r\n" in v2.headers) == (True, True)
    assert (moved.target, sent[6].origin.host) == ("/v2/chat/completions", "moved.test")
    assert b"\r\nx-key: sk" in other.headers
    assert b"\r\nauthorization: Bearer sk" in last.headers
    assert b"x-v" not in last.headers


async def test_a_config_s_own_host_for_a_key_gets_the_head_that_it_would_get_alone() -> None:
    world = World()
    world.config("own", {"virtual_key": "main", "custom_host": "https://own.test/base"})
    usual = Talk(world, calls=6, headers={"x-portkey-virtual-key": "main"})
    own = {"authorization": f"Bearer {world.key}", "x-portkey-config": "own"}
    other = usual.behind.caller()
    for number in range(1, 4):
        assert (await usual.say()).status == 200
        other.feed(request("POST", CHAT, own, {"model": "sim-chat"}))
        assert (await answered(other, number))[-1].status == 200
        await quiet()
    sent = [(one.origin.host, one.head.target) for one in usual.behind.client.requests]
    assert sent == [("sim.test", "/v1/chat/completions"), ("own.test", "/base/chat/completions")] * 3


async def test_lines_of_one_connection_s_callers_go_with_no_other() -> None:
    world = World()
    talk = Talk(world, calls=8, headers={"openai-organization": "one"})
    other = talk.behind.caller()
    theirs = {"authorization": f"Bearer {world.key}", "openai-organization": "two"}
    for number in range(1, 5):
        assert (await talk.say()).status == 200
        other.feed(request("POST", CHAT, theirs, {"model": "sim-chat"}))
        assert (await answered(other, number))[-1].status == 200
        await quiet()
    lines = [sent.head.headers for sent in talk.behind.client.requests]
    assert [b"openai-organization: one\r\n" in one for one in lines] == [True, False] * 4
    assert [b"openai-organization: two\r\n" in one for one in lines] == [False, True] * 4


async def test_certificates_of_a_credential_go_with_each_call() -> None:
    world = World()
    own = Authority.make().certificate.public_bytes(Encoding.PEM).decode()
    world.virtual_key("main", "sim", "", credential=orjson.dumps({"api_key": "sk-1", "ca_certificates": own}).decode())
    talk = Talk(world, calls=3)
    for _ in range(3):
        assert (await talk.say()).status == 200
    trusts = [sent.origin.trust for sent in talk.behind.client.requests]
    assert [trust.ca for trust in trusts] == [own.encode()] * 3


async def test_a_key_that_does_not_open_is_told_each_time() -> None:
    world = World()
    world.virtual_key("main", "sim", "", credential=SHUT.decode())
    talk = Talk(world, calls=0)
    assert [(await talk.say()).code for _ in range(3)] == ["credential_unavailable"] * 3


async def test_a_body_too_deep_to_be_changed_is_refused_each_time() -> None:
    talk = Talk(World(), calls=0)
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    refused = [await talk.say(stream=True, x=deep) for _ in range(2)]
    assert [(answer.status, answer.code) for answer in refused] == [(400, "body_invalid")] * 2
    assert len(talk.behind.records.records) == 2
    assert {record.attempt_count for record in talk.behind.records.records} == {1}


async def test_models_that_a_virtual_key_was_held_to_meanwhile_are_the_only_ones() -> None:
    world = World()
    talk = Talk(world, calls=3, headers={"x-portkey-virtual-key": "main"})
    assert (await talk.say("sim-chat")).status == 200
    world.virtual_key("main", "sim", "sk-1", models=["sim-chat"])
    talk.changed()
    assert [(await talk.say(model)).status for model in ("sim-chat", "both", "sim-chat")] == [200, 403, 200]


async def test_where_models_are_held_the_body_is_written_anew_each_time() -> None:
    world = World()
    world.api_key("k1", world.key, models=["sim-*"])
    talk = Talk(world, calls=2)
    raw = b'{"model":"acme-chat", "model":"sim-chat"}'
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\ncontent-length: {len(raw)}\r\n\r\n"
    for number in (1, 2):
        talk.caller.feed(head.encode() + raw)
        assert (await answered(talk.caller, number))[-1].status == 200
        await quiet()
    assert [sent.body for sent in talk.behind.client.requests] == [b'{"model":"sim-chat"}'] * 2


async def test_a_body_that_nothing_changes_goes_out_byte_for_byte_each_time() -> None:
    talk = Talk(World(), calls=2)
    for n in (1, 2):
        await talk.say(n=n)
    bodies = [sent.body for sent in talk.behind.client.requests]
    assert bodies == [b'{"model": "sim-chat", "n": 1}', b'{"model": "sim-chat", "n": 2}']


async def test_an_answer_without_usage_to_a_body_that_only_its_provider_can_read_is_given() -> None:
    """`1e999` is JSON, and no double: where nobody reads the body it is passed on, and so is the answer."""
    talk = Talk(World(), calls=1)
    talk.behind.client._script.append(answers(200, b'{"id": "1"}'))
    assert (await talk.say()).status == 200
    raw = b'{"model":"sim-chat","x":1e999}'
    talk.caller.feed(request("POST", CHAT, {"authorization": f"Bearer {talk.world.key}"}, raw))
    answer = (await answered(talk.caller, 2))[-1]
    assert (answer.status, answer.body) == (200, b'{"id": "1"}')
    record = talk.behind.records.last
    assert (record.usage, record.input_tokens, record.unsettled_count) == ("estimated", -(-len(raw) // 4), 0)


@pytest.mark.parametrize("number", [b"1e999", b"-1e400", b"1" + b"0" * 400])
async def test_a_number_that_no_reader_holds_has_one_verdict_at_the_first_call_and_behind_it(number: bytes) -> None:
    raw = b'{"model":"sim-chat","x":%b}' % number
    talk = Talk(World(), calls=2)
    passed = request("POST", CHAT, {"authorization": f"Bearer {talk.world.key}"}, raw)
    for count in (1, 2):
        talk.caller.feed(passed)
        assert (await answered(talk.caller, count))[-1].status == 200
        await quiet()
    assert [made.body for made in talk.behind.client.requests] == [raw, raw]
    talk.world.api_key("k1", talk.world.key, models=["sim-*"])
    talk.changed()
    for count in (3, 4):  # Where models are held the body is written anew.
        talk.caller.feed(passed)
        refused = (await answered(talk.caller, count))[-1]
        assert (refused.status, refused.code) == (400, "json_malformed")
        await quiet()
    assert len(talk.behind.client.requests) == 2


async def test_what_one_body_overrides_is_not_in_the_next() -> None:
    talk = Talk(World(), calls=2)
    await talk.say(temperature=0.5)
    await talk.say(top_p=0.1)
    bodies = [orjson.loads(sent.body) for sent in talk.behind.client.requests]
    assert bodies == [{"model": "sim-chat", "temperature": 0.5}, {"model": "sim-chat", "top_p": 0.1}]


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_head_that_comes_in_pieces_is_the_same(pieces: int) -> None:
    talk = Talk(World(), calls=4)
    data = request("POST", CHAT, {"authorization": f"Bearer {talk.world.key}"}, {"model": "sim-chat"})
    step = len(data) // pieces + 1
    for _ in range(3):
        talk.caller.feed(*(data[at : at + step] for at in range(0, len(data), step)))
        await quiet()
    assert [answer.status for answer in await answered(talk.caller, 3)] == [200, 200, 200]


async def test_two_connections_know_nothing_of_each_other() -> None:
    world = World()
    talk = Talk(world, calls=2)
    assert (await talk.say()).status == 200
    other = talk.behind.caller()
    other.feed(request("POST", CHAT, {"authorization": "Bearer gh_other"}, {"model": "sim-chat"}))
    assert [answer.status for answer in await answered(other)] == [401]
    assert [answer.status for answer in said(talk.caller.written)] == [200]
