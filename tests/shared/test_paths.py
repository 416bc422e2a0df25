"""Who serves which path: a table, and no spelling by which an admin noun or a second host would slip through."""

import posixpath
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.paths import (
    ADMIN_NOUNS,
    DIALECT_DOORS,
    GATEWAY_NOUNS,
    PASSED_DOORS,
    Server,
    is_plain,
    passed_door,
    who_serves,
)

table = pytest.mark.parametrize


@table(
    ("path", "server", "door"),
    [
        ("/v1/chat/completions", Server.GATEWAY, None),
        ("/v1/completions", Server.GATEWAY, None),
        ("/v1/embeddings", Server.GATEWAY, None),
        ("/v1/messages", Server.GATEWAY, None),
        ("/v1/messages/count_tokens", Server.GATEWAY, None),
        ("/v1/responses", Server.GATEWAY, None),
        ("/v1/models", Server.GATEWAY, None),
        ("/v1/models/@slug/model", Server.GATEWAY, None),
        ("/v1/explain", Server.GATEWAY, None),
        ("/v1/health", Server.GATEWAY, None),
        ("/v1/responses/resp_1", Server.PROVIDER, "responses"),
        ("/v1/responses/resp_1/input_items", Server.PROVIDER, "responses"),
        ("/v1/images/generations", Server.PROVIDER, "images"),
        ("/v1/images", Server.PROVIDER, "images"),
        ("/v1/audio/speech", Server.PROVIDER, "audio"),
        ("/v1/moderations", Server.PROVIDER, "moderations"),
        ("/v1/rerank", Server.PROVIDER, "rerank"),
        ("/v1/files/file-1/content", Server.PROVIDER, "files"),
        ("/v1/batches/batch_1/cancel", Server.PROVIDER, "batches"),
        ("/v1/fine_tuning/jobs", Server.PROVIDER, "proxy"),
        ("/v1/messages/batches", Server.PROVIDER, "proxy"),
        ("/v1/chat/completions/chatcmpl-1", Server.PROVIDER, "proxy"),
        ("/v1/assistants", Server.PROVIDER, "proxy"),
        ("/v1/a%20b/@c:d~e", Server.PROVIDER, "proxy"),
        ("/v1/configs", Server.CONTROL_PLANE, None),
        ("/v1/configs/a/versions", Server.CONTROL_PLANE, None),
        ("/v1/prompts/pp-1/completions", Server.CONTROL_PLANE, None),
        ("/", Server.NOBODY, None),
        ("/v1", Server.NOBODY, None),
        ("/v1/", Server.NOBODY, None),
        ("/v2/files", Server.NOBODY, None),
        ("/chat/completions", Server.NOBODY, None),
        ("/v1/chat/completions/", Server.NOBODY, None),
        ("*", Server.NOBODY, None),
    ],
)
def test_each_path_has_one_server_and_one_door(path: str, server: Server, door: str | None) -> None:
    assert who_serves(path) is server
    assert passed_door(path) == door


@table("noun", sorted(ADMIN_NOUNS))
def test_an_admin_noun_never_passes_in_any_spelling(noun: str) -> None:
    escaped = "".join(f"%{ord(letter):02x}" for letter in noun)
    for spelling in (noun, noun.upper(), noun.title(), escaped, f"/{noun}", f"./{noun}", f"{noun}//", f"%2f{noun}"):
        path = f"/v1/{spelling}/x"
        assert who_serves(path) in (Server.CONTROL_PLANE, Server.NOBODY), path
        assert passed_door(path) is None


@table(
    "path",
    [
        "/v1/files/../configs",
        "/v1/files/..",
        "/v1/./files",
        "/v1/files/...",
        "/v1//files",
        "/v1/files/",
        "/v1/%2e%2e/configs",
        "/v1/files/%2E./x",
        "/v1/files%2f..%2fconfigs",
        "/v1/files%5c..%5cx",
        "/v1/files\\..\\x",
        "/v1/files/%252e%252e/x",
        "/v1/files;x=1/y",
        "/v1/files/%3b",
        "/v1/files#x",
        "/v1/files?x",
        "/v1/files/%3f",
        "/v1/files/%00",
        "/v1/files/%0d%0ahost:x",
        "/v1/files/%",
        "/v1/files/%4",
        "/v1/files/%zz",
        "/v1/files/%+1",
        "/v1/fil es",
        "/v1/fil\tes",
        "/v1/fil\x7fes",
        "/v1/ﬁles",
        "/v1/http://other.test/x",
        "//other.test/v1/files",
        "http://other.test/v1/files",
        "/V1/files",
    ],
)
def test_what_two_readers_could_take_for_different_paths_passes_to_nobody(path: str) -> None:
    assert not is_plain(path)
    assert passed_door(path) is None


@given(st.text(alphabet=st.sampled_from("/.%25ef;\\?#:@aA-v1"), max_size=30))
@example("/v1/a/b")
def test_a_plain_path_reads_the_same_for_every_reader(rest: str) -> None:
    path = f"/v1/{rest}"
    if not is_plain(path):
        return
    assert posixpath.normpath(path) == path
    decoded = unquote(path)
    assert posixpath.normpath(decoded) == decoded
    assert decoded.count("/") == path.count("/")
    assert not set(decoded) & set("\\?#;")


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="/\\?#;%."), min_size=1), min_size=1))
def test_any_segments_can_be_said_with_escapes(segments: list[str]) -> None:
    path = "/v1/" + "/".join(quote(segment, safe="@:~!$&'()*+,=-_") for segment in segments)
    controls = any(character < " " or character == "\x7f" for segment in segments for character in segment)
    assert is_plain(path) is not controls


def test_nobody_owns_what_another_owns() -> None:
    passed = set(PASSED_DOORS)
    assert not passed & ADMIN_NOUNS
    assert not GATEWAY_NOUNS & ADMIN_NOUNS
    assert not {path.split("/")[2] for path in DIALECT_DOORS} & ADMIN_NOUNS
