"""Bodies out of their compression: whole frames, any number of them, and never more bytes than allowed."""

import zlib
from collections.abc import Callable
from contextlib import suppress

import lz4.frame
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from embedded.clickhouse.encodings import plain
from embedded.clickhouse.refusal import Refusal

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "gzip": lambda data: zlib.compress(data, wbits=31),
    "deflate": zlib.compress,
}
ENCODINGS = st.sampled_from(sorted(COMPRESS))


@given(ENCODINGS, st.lists(st.binary(max_size=500), max_size=5))
def test_frames_come_out_one_after_the_other(encoding: str, blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    packed = b"".join(map(COMPRESS[encoding], blocks))
    assert plain(packed, encoding, len(whole)) == whole
    if whole:
        with pytest.raises(Refusal) as refused:
            plain(packed, encoding, len(whole) - 1)
        assert refused.value.status == 413


@given(ENCODINGS, st.binary(min_size=1, max_size=500), st.integers(min_value=1))
def test_what_is_cut_short_is_refused(encoding: str, block: bytes, cut: int) -> None:
    packed = COMPRESS[encoding](block)
    with pytest.raises(Refusal) as refused:
        plain(packed[: -(cut % (len(packed) - 1) + 1)], encoding, 10_000)
    assert refused.value.status == 400


@given(ENCODINGS, st.binary(min_size=1))
def test_any_bytes_are_read_or_refused(encoding: str, body: bytes) -> None:
    with suppress(Refusal):
        assert len(plain(body, encoding, 100)) <= 100


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    bomb = COMPRESS[encoding](bytes(50_000_000))
    with pytest.raises(Refusal) as refused:
        plain(bomb, encoding, 1_000)
    assert refused.value.status == 413


def test_an_encoding_nobody_knows_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        plain(b"x", "br", 1_000)
    assert refused.value.status == 501
