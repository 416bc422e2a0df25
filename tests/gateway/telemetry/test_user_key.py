"""The user key: one for all nodes of a gateway, and for nobody else."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from gateway.sync import redis_client, trust
from gateway.sync.node_keys import NodeKeys
from gateway.sync.trust import Verified
from gateway.telemetry import user_key_words as words
from gateway.telemetry.pseudonyms import Pseudonyms
from gateway.telemetry.user_key import BIRTH_S, HEEDED_MS, LOOK_S, RENEW_S, UserKeys
from gateway.telemetry.user_key_board import RedisBoard
from gateway.telemetry.user_key_file import FILE, UserKeyFile
from gateway.telemetry.user_key_words import Answer, Circle, Claim, Request
from shared.clock import FakeClock
from shared.crypto import hpke, sign
from shared.crypto.secret import Secret
from shared.protocol.node import node_id
from tests.fixtures.house import GATEWAY, ORGANISATION, House
from tests.fixtures.redis import RedisServer


def new_keys() -> NodeKeys:
    signing = sign.new_key()
    return NodeKeys(node_id(sign.public_key(signing)), signing, hpke.new_key())


class Fleet:
    """Nodes of one gateway that share a Redis, and what its control plane says of who they are."""

    def __init__(self, house: House, redis: RedisServer, folder: Path) -> None:
        self.house = house
        self.redis = redis
        self.folder = folder
        self.clock = house.clock
        self.enrolled: list[NodeKeys] = []
        self.boards: list[RedisBoard] = []
        self.admin = redis_client.client(redis.url, 5.0)

    def enrol(self, *, keys: NodeKeys | None = None) -> "Node":
        keys = keys or new_keys()
        self.enrolled.append(keys)
        return self.node(keys)

    def node(self, keys: NodeKeys) -> "Node":
        board = RedisBoard(self.redis.url, GATEWAY, timeout_s=0.5)
        self.boards.append(board)
        return Node(self, keys, board)

    def state(self) -> Verified:
        """What every node of the fleet has verified by now."""
        self.house.node_keys = self.enrolled[0]
        self.house.nodes = [keys.public for keys in self.enrolled]
        snapshot = self.house.publish()
        return trust.accept(
            snapshot,
            pinned_fingerprint=self.house.fingerprint,
            gateway=GATEWAY,
            have=None,
            now_ms=self.clock.wall_ms(),
        )

    @property
    def circle(self) -> Circle:
        return Circle(ORGANISATION, GATEWAY, {keys.node for keys in self.enrolled})

    async def turns(self, *nodes: "Node", count: int = 4) -> None:
        """Each in turn, `LOOK_S` between rounds."""
        for _ in range(count):
            for node in nodes:
                await node.turn()
            self.clock.advance(LOOK_S)

    async def close(self) -> None:
        for board in self.boards:
            await board.close()
        await self.admin.aclose()

    def key(self, name: str) -> str:
        return redis_client.prefix(GATEWAY) + name


class Node:
    def __init__(self, fleet: Fleet, keys: NodeKeys, board: RedisBoard | None) -> None:
        self.fleet = fleet
        self.keys = keys
        self.folder = fleet.folder / keys.node
        self.folder.mkdir(exist_ok=True)
        self.held: Verified | None = None
        self.user_keys = UserKeys(self.folder, board, keys, lambda: self.held, fleet.clock)

    async def turn(self) -> None:
        self.held = self.fleet.state()
        await self.user_keys.turn()

    def has(self, key: bytes) -> None:
        """Since a minute ago."""
        path = self.folder / FILE
        path.write_bytes(key)
        since_s = self.fleet.clock.wall_ms() / 1000 - 60
        os.utime(path, (since_s, since_s))

    @property
    def key(self) -> bytes | None:
        path = self.folder / FILE
        return path.read_bytes() if path.exists() else None


@pytest.fixture
async def fleet(house: House, redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    made = Fleet(house, redis_server, tmp_path)
    yield made
    await made.close()


async def test_a_disk_that_takes_no_key_is_told_of_once(fleet: Fleet) -> None:
    node = fleet.enrol()
    node.folder.rmdir()
    with structlog.testing.capture_logs() as logs:
        await fleet.turns(node)
    assert [line["event"] for line in logs] == ["user_key_not_kept"]
    node.folder.mkdir()
    await fleet.turns(node)
    assert node.key is not None


async def test_the_only_node_makes_the_key_at_once_and_keeps_it(fleet: Fleet) -> None:
    """GHS/1 17.9, 17.16."""
    node = fleet.enrol()
    await node.turn()
    assert node.key is not None
    assert len(node.key) == 32
    assert (node.folder / FILE).stat().st_mode & 0o777 == 0o600
    before = node.key
    await fleet.turns(node, count=40)
    assert node.key == before


async def test_nodes_that_share_a_redis_have_the_same_key_and_so_the_same_pseudonyms(fleet: Fleet) -> None:
    """GHS/1 17.9, 17.15."""
    first = fleet.enrol()
    await first.turn()
    others = [fleet.enrol(), fleet.enrol()]
    await fleet.turns(first, *others)
    assert first.key is not None
    assert [node.key for node in others] == [first.key] * 2
    names = {Pseudonyms(UserKeyFile(node.folder, fleet.clock)).pseudonym("ada") for node in (first, *others)}
    assert len(names) == 1
    assert None not in names


async def test_nodes_that_start_at_once_agree(fleet: Fleet) -> None:
    """GHS/1 17.16: one of them is first; before, nobody has a key."""
    nodes = [fleet.enrol() for _ in range(3)]
    for node in nodes:
        node.held = fleet.state()
    while fleet.clock.monotonic_s() < BIRTH_S:
        await asyncio.gather(*(node.user_keys.turn() for node in nodes))
        assert [node.key for node in nodes] == [None] * 3
        fleet.clock.advance(LOOK_S)
    for _ in range(6):
        await asyncio.gather(*(node.user_keys.turn() for node in nodes))
        fleet.clock.advance(LOOK_S)
    assert nodes[0].key is not None
    assert len({node.key for node in nodes}) == 1


async def test_two_nodes_that_each_thought_to_be_alone_end_with_one_key(fleet: Fleet) -> None:
    """GHS/1 17.15: whoever claimed first; the other takes it in place of its own."""
    one, two = fleet.enrol(), fleet.enrol()
    for node in (one, two):
        node.has(node.keys.node.encode()[:32].ljust(32, b"x"))
    before = one.key
    await fleet.turns(one, two)
    assert one.key == two.key == before


async def test_keys_that_were_made_while_the_clocks_were_ahead_end_as_one_too(fleet: Fleet) -> None:
    """GHS/1 17.15: a key that is of a time to come is no reason to heed nobody until then."""
    one, two, three = fleet.enrol(), fleet.enrol(), fleet.enrol()
    for node in (one, two, three):
        node.has(node.keys.node.encode()[:32].ljust(32, b"x"))
    ahead_s = fleet.clock.wall_ms() / 1000 + 7_200
    for node in (one, two):
        os.utime(node.folder / FILE, (ahead_s, ahead_s))
    await fleet.turns(one, two, three, count=8)
    assert one.key == two.key == three.key
    before = one.key
    await fleet.turns(one, two, three)
    assert one.key == two.key == three.key == before


async def test_what_lies_in_redis_is_no_key(fleet: Fleet) -> None:
    """GHS/1 17.14."""
    one = fleet.enrol()
    await one.turn()
    two = fleet.enrol()
    await two.turn()
    await one.turn()
    assert one.key is not None
    found = {name: await dump(fleet, name) for name in ("user_key", "user_key_requests", "user_key_answers")}
    assert all(found.values())
    assert all(one.key not in text and one.key.hex().encode() not in text for text in found.values())
    answer = words.hear(Answer, await fleet.admin.hget(fleet.key("user_key_answers"), two.keys.node), fleet.circle)
    assert answer is not None
    assert words.open_(answer, fleet.circle, new_keys()) is None
    assert words.open_(answer, fleet.circle, NodeKeys(one.keys.node, two.keys.signing, two.keys.opening)) is None
    opened = words.open_(answer, fleet.circle, two.keys)
    assert opened is not None
    assert opened.matches(one.key)
    await two.turn()
    assert await fleet.admin.hgetall(fleet.key("user_key_answers")) == {}


async def dump(fleet: Fleet, name: str) -> bytes:
    key = fleet.key(name)
    if await fleet.admin.type(key) == b"hash":
        return b"".join(await fleet.admin.hvals(key))
    return await fleet.admin.get(key) or b""


async def test_a_stranger_with_access_to_redis_gets_no_key(fleet: Fleet) -> None:
    """GHS/1 17.14: not in the verified key chain."""
    one = fleet.enrol()
    await one.turn()
    stranger = fleet.node(new_keys())
    await fleet.turns(one, stranger)
    assert stranger.key is None
    assert await fleet.admin.hgetall(fleet.key("user_key_answers")) == {}


async def test_a_node_that_was_revoked_gets_none_any_more(fleet: Fleet) -> None:
    """GHS/1 17.14."""
    one, two = fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    fleet.enrolled.remove(two.keys)
    await fleet.turns(one, two)
    assert two.key is None


async def test_a_stranger_cannot_ask_in_a_nodes_name(fleet: Fleet) -> None:
    """GHS/1 17.14: with its own opening key under another's id."""
    one, two = fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    stranger = new_keys()
    for keys in (stranger, NodeKeys(two.keys.node, stranger.signing, stranger.opening)):
        request = Request(gateway=GATEWAY, node=two.keys.node, open=stranger.public.open)
        await fleet.admin.hset(fleet.key("user_key_requests"), two.keys.node, words.say(request, keys))
        await fleet.turns(one)
        assert await fleet.admin.hgetall(fleet.key("user_key_answers")) == {}


async def test_a_stranger_cannot_plant_a_key_it_knows(fleet: Fleet) -> None:
    """GHS/1 17.14, 17.15: its claim is no claim, and its answer is no answer."""
    one, two = fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    stranger, planted = new_keys(), Secret(b"p" * 32)
    fingerprint = words_fingerprint(planted)
    claim = Claim(gateway=GATEWAY, node=stranger.node, fingerprint=fingerprint, at_ms=fleet.clock.wall_ms())
    request = Request(gateway=GATEWAY, node=two.keys.node, open=two.keys.public.open)
    for _ in range(3):
        await fleet.admin.set(fleet.key("user_key"), words.say(claim, stranger))
        answer = words.seal(planted, fingerprint, request, fleet.circle, stranger)
        assert answer is not None
        await fleet.admin.hset(fleet.key("user_key_answers"), two.keys.node, answer)
        await fleet.turns(two, one, count=1)
        assert two.key in (None, b"k" * 32)
    await fleet.turns(one, two)
    assert two.key == b"k" * 32


def words_fingerprint(key: Secret) -> str:
    return hashlib.sha256(key.reveal()).hexdigest()


async def test_a_node_that_answers_with_another_key_than_the_claimed_one_is_not_believed(fleet: Fleet) -> None:
    """GHS/1 17.15."""
    one, two, false = fleet.enrol(), fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    await one.turn()
    request = Request(gateway=GATEWAY, node=two.keys.node, open=two.keys.public.open)
    for fingerprint in (words_fingerprint(Secret(b"k" * 32)), words_fingerprint(Secret(b"f" * 32))):
        answer = words.seal(Secret(b"f" * 32), fingerprint, request, fleet.circle, false.keys)
        assert answer is not None
        await fleet.admin.hset(fleet.key("user_key_answers"), two.keys.node, answer)
        await two.turn()
        assert two.key is None


async def given_up(fleet: Fleet, one: "Node", two: "Node") -> tuple[bytes, bytes]:
    """Both have another key by now; the claim of the one before, and the answer to the second that gave it."""
    one.has(b"o" * 32)
    await one.turn()
    await two.turn()
    await one.turn()
    claim = await fleet.admin.get(fleet.key("user_key"))
    answer = await fleet.admin.hget(fleet.key("user_key_answers"), two.keys.node)
    await two.turn()
    assert two.key == b"o" * 32
    assert isinstance(claim, bytes)
    assert isinstance(answer, bytes)
    fleet.clock.advance(120)
    await fleet.admin.flushall()
    for node in (one, two):
        node.has(b"n" * 32)
    await fleet.turns(one, two)
    return claim, answer


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_key_that_was_given_up_is_not_brought_back_by_what_lay_in_redis(fleet: Fleet, *, is_gone: bool) -> None:
    """GHS/1 17.15: also where the node that claimed it is not there to claim the new one."""
    one, two = fleet.enrol(), fleet.enrol()
    claim, answer = await given_up(fleet, one, two)
    for _ in range(4):
        await fleet.admin.set(fleet.key("user_key"), claim)
        await fleet.admin.hset(fleet.key("user_key_answers"), two.keys.node, answer)
        await fleet.turns(*([two] if is_gone else [two, one]), count=1)
        assert two.key == one.key == b"n" * 32
    set_anew = words.hear(Claim, await fleet.admin.get(fleet.key("user_key")), fleet.circle)
    assert set_anew is not None
    assert set_anew.fingerprint == words_fingerprint(Secret(b"n" * 32))


async def test_a_claim_of_long_ago_is_none_for_a_node_without_a_key(fleet: Fleet) -> None:
    """GHS/1 17.15."""
    one, two = fleet.enrol(), fleet.enrol()
    claim, answer = await given_up(fleet, one, two)
    (two.folder / FILE).unlink()
    fleet.clock.advance(HEEDED_MS / 1000)
    for _ in range(8):
        await fleet.admin.set(fleet.key("user_key"), claim)
        await fleet.admin.hset(fleet.key("user_key_answers"), two.keys.node, answer)
        await fleet.turns(two, count=1)
        assert two.key != b"o" * 32
    assert two.key is not None


async def test_each_who_has_the_key_signs_the_claim_anew_each_minute(fleet: Fleet) -> None:
    """GHS/1 17.15: so it is heeded as long as any of them is there."""
    one, two = fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    await fleet.turns(one, two)
    for node in (two, one):
        fleet.clock.advance(RENEW_S)
        await node.turn()
        claim = words.hear(Claim, await fleet.admin.get(fleet.key("user_key")), fleet.circle)
        assert claim is not None
        assert (claim.node, claim.at_ms) == (node.keys.node, fleet.clock.wall_ms())


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "no json": lambda _: None,
    "another signature": lambda said: said.update(signature=said["sign"] + said["sign"]),
    "another signer": lambda said: said.update(sign="A" * 43 + "="),
    "nothing": lambda said: said.clear(),
    "a number": lambda said: said.update(payload=1),
    "no base64": lambda said: said.update(payload="?"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_on_the_way_is_not_heard(change: str) -> None:
    """GHS/1 17.14."""
    keys = new_keys()
    circle = Circle(ORGANISATION, GATEWAY, {keys.node})
    said = words.say(Claim(gateway=GATEWAY, node=keys.node, fingerprint="0" * 64, at_ms=1), keys)
    assert words.hear(Claim, said, circle) is not None
    assert words.hear(Request, said, circle) is None
    assert words.hear(Claim, said, Circle(ORGANISATION, "gw_other", {keys.node})) is None
    assert words.hear(Claim, said, Circle(ORGANISATION, GATEWAY, set())) is None
    parsed = orjson.loads(said)
    CHANGES[change](parsed)
    changed = b"{" if change == "no json" else orjson.dumps(parsed)
    assert words.hear(Claim, changed, circle) is None


async def test_the_claim_stands_for_ten_minutes_and_is_renewed_each(fleet: Fleet) -> None:
    """GHS/1 17.15."""
    node = fleet.enrol()
    await fleet.turns(node, count=2)
    key = fleet.key("user_key")
    assert 590_000 < await fleet.admin.pttl(key) <= 600_000
    await fleet.admin.pexpire(key, 5_000)
    await fleet.turns(node, count=2)
    assert await fleet.admin.pttl(key) <= 5_000
    fleet.clock.advance(RENEW_S)
    await node.turn()
    assert await fleet.admin.pttl(key) > 590_000


async def test_a_claim_that_is_lost_is_set_again_before_anybody_makes_another_key(fleet: Fleet) -> None:
    """GHS/1 17.15, 17.16: Redis was emptied while a node without the key came up."""
    one = fleet.enrol()
    await one.turn()
    two = fleet.enrol()
    for _ in range(3):
        await fleet.admin.flushall()
        await two.turn()
        fleet.clock.advance(BIRTH_S / 4)
    await fleet.turns(one, two)
    assert two.key == one.key is not None


async def test_when_all_who_had_it_are_gone_a_new_one_is_made_once_the_claim_is_over(fleet: Fleet) -> None:
    """GHS/1 17.16."""
    gone = fleet.enrol()
    await gone.turn()
    later = fleet.enrol()
    await fleet.turns(later, count=20)
    assert later.key is None
    await fleet.admin.delete(fleet.key("user_key"))  # As after ten minutes.
    await fleet.turns(later, count=8)
    assert later.key is not None
    assert later.key != gone.key
    await fleet.turns(gone, later)
    assert gone.key == later.key


async def test_one_who_died_between_claim_and_key_claims_anew(fleet: Fleet) -> None:
    """GHS/1 17.16."""
    node = fleet.enrol()
    claim = Claim(gateway=GATEWAY, node=node.keys.node, fingerprint="0" * 64, at_ms=fleet.clock.wall_ms())
    await fleet.admin.set(fleet.key("user_key"), words.say(claim, node.keys))
    await node.turn()
    assert node.key is not None


async def test_while_redis_is_away_no_key_is_made_and_one_that_is_there_stays(
    fleet: Fleet, redis_server: RedisServer
) -> None:
    """GHS/1 17.16."""
    one, two = fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    redis_server.kill()
    await fleet.turns(one, two, count=12)
    assert (one.key, two.key) == (b"k" * 32, None)
    redis_server.start()
    await fleet.turns(one, two)
    assert two.key == b"k" * 32


async def test_a_redis_that_hangs_is_away(fleet: Fleet, redis_server: RedisServer) -> None:
    node = fleet.enrol()
    await fleet.admin.ping()
    redis_server.freeze()
    await node.turn()
    assert node.key is None
    redis_server.thaw()
    await node.turn()
    assert node.key is not None


async def test_without_a_redis_a_node_makes_its_own_at_once(tmp_path: Path) -> None:
    """GHS/1 17.16."""
    keys = UserKeys(tmp_path, None, new_keys(), lambda: None, FakeClock())
    await keys.turn()
    first = (tmp_path / FILE).read_bytes()
    await keys.turn()
    assert (tmp_path / FILE).read_bytes() == first


async def test_before_anything_is_verified_nobody_is_asked(fleet: Fleet) -> None:
    """GHS/1 17.14: without a key chain nobody is known to be a node."""
    node = fleet.enrol()
    await node.user_keys.turn()
    assert node.key is None
    assert await fleet.admin.keys() == []


async def test_a_damaged_file_is_no_key_and_is_replaced(fleet: Fleet) -> None:
    one, two = fleet.enrol(), fleet.enrol()
    one.has(b"k" * 32)
    (two.folder / FILE).write_bytes(b"torn")
    await fleet.turns(one, two)
    assert two.key == b"k" * 32
