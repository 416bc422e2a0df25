"""Enrolment at the node: asked until the right control plane says yes, kept, and never asked again."""

from pathlib import Path
from random import Random

import pytest

from gateway.sync import identity
from gateway.sync.control_plane_client import CallFailed
from gateway.sync.enrol import enrol
from gateway.sync.identity import Identity, IdentityError
from gateway.sync.node_keys import NodeKeys
from gateway.sync.pace import Backoff
from shared.crypto import sign
from shared.crypto.secret import Secret
from shared.protocol.enrolment import Enrolment, EnrolmentToken, EnrolRequest, new_token, parse_token, sign_enrolment
from shared.protocol.version import PROTOCOL
from tests.fakes.control_plane import FakeControlPlane
from tests.fixtures.house import new_node_keys

ENDPOINTS = ["https://house.example"]


def answer(key: Secret, node: str, gateway: str = "gw_1") -> bytes:
    enrolment = Enrolment(protocol=PROTOCOL, organisation="org_1", gateway=gateway, node=node, endpoints=ENDPOINTS)
    return sign_enrolment(key, enrolment).model_dump_json().encode()


class Scene:
    def __init__(self, folder: Path) -> None:
        self.key = sign.new_key()
        self.token: EnrolmentToken = new_token(sign.fingerprint(sign.public_key(self.key)))
        self.node_keys: NodeKeys = new_node_keys()
        self.control_plane = FakeControlPlane()
        self.folder = folder
        self.pauses: list[float] = []

    async def enrol(self) -> Identity:
        async def pause(wait_s: float) -> None:
            self.pauses.append(wait_s)

        return await enrol(
            self.control_plane,
            self.token,
            node_keys=self.node_keys,
            state_dir=self.folder,
            build="test",
            backoff=Backoff(Random(1)),
            pause=pause,
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_what_was_learnt_is_kept(scene: Scene) -> None:
    """GHS/1 11.7."""
    scene.control_plane.replies = [answer(scene.key, scene.node_keys.node)]
    learnt = await scene.enrol()
    assert learnt == Identity("gw_1", "org_1", scene.token.fingerprint, tuple(ENDPOINTS))
    assert identity.load(scene.folder) == learnt
    assert (scene.folder / identity.FILE).stat().st_mode & 0o777 == 0o600
    assert scene.token.secret.reveal() not in (scene.folder / identity.FILE).read_bytes()
    ((_, body),) = scene.control_plane.asked
    assert EnrolRequest.model_validate_json(body).token == scene.token.secret.reveal_text()


async def test_nothing_but_the_right_answer_ends_the_asking(scene: Scene) -> None:
    """GHS/1 11.5, 12.5."""
    node = scene.node_keys.node
    wrong: list[bytes | CallFailed] = [
        CallFailed("unreachable", ""),
        CallFailed("token_used", ""),
        CallFailed("http_404", ""),
        b"<html>",
        b"{}",
        answer(sign.new_key(), node),
        answer(scene.key, "nd_other"),
    ]
    scene.control_plane.replies = [*wrong, answer(scene.key, node)]
    assert (await scene.enrol()).gateway == "gw_1"
    assert len(scene.pauses) == len(wrong)


def test_a_node_that_was_never_enrolled_has_no_identity(tmp_path: Path) -> None:
    assert identity.load(tmp_path) is None


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / identity.FILE).write_bytes(b"{}")
    with pytest.raises(IdentityError, match="damaged"):
        identity.load(tmp_path)


def test_it_is_replaced_whole(tmp_path: Path) -> None:
    """GHS/1 11.7: nothing half written is left beside it."""
    first = Identity("gw_1", "org_1", "sha256:" + "0" * 64, ())
    identity.save(tmp_path, first)
    second = Identity("gw_1", "org_1", "sha256:" + "0" * 64, ("https://other.example",))
    identity.save(tmp_path, second)
    assert identity.load(tmp_path) == second
    assert [path.name for path in tmp_path.iterdir()] == [identity.FILE]


def test_a_token_is_read_as_it_was_shown() -> None:
    """GHS/1 11.1."""
    token = new_token("sha256:" + "ab" * 32)
    text = token.text.reveal_text()
    assert text.startswith("ghe_")
    read = parse_token(text)
    assert (read.secret.reveal(), read.fingerprint, read.hash) == (token.secret.reveal(), token.fingerprint, token.hash)
    assert token.secret.reveal_text() not in repr(token)


@pytest.mark.parametrize("change", ["cut", "letter", "no dot", "short fingerprint", "capitals"])
def test_a_mistyped_token_is_refused_before_anybody_is_asked(change: str) -> None:
    """GHS/1 11.1."""
    text = new_token("sha256:" + "ab" * 32).text.reveal_text()
    changed = {
        "cut": text[1:],
        "letter": text[:10] + ("A" if text[10] != "A" else "B") + text[11:],
        "no dot": text.replace(".", ""),
        "short fingerprint": text[:-1],
        "capitals": text[:-2] + "AB",
    }[change]
    with pytest.raises(ValueError, match="token"):
        parse_token(changed)
