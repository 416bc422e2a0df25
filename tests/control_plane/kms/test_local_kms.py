"""The local KMS: it unwraps what it wrapped, in the same context, as long as the version is enabled."""

import asyncio
import stat
from pathlib import Path

import pytest

from control_plane.kms.local import LocalKms
from shared.crypto.kms import KmsDenied, KmsUnreachable, Wrapped
from shared.crypto.secret import Secret

KEY = Secret(b"k" * 32)
CONTEXT = {"organisation": "org_1", "purpose": "data_key"}


@pytest.fixture
def kms(tmp_path: Path) -> LocalKms:
    return LocalKms(tmp_path / "kms.json")


async def test_what_was_wrapped_unwraps_also_after_a_restart(kms: LocalKms, tmp_path: Path) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    assert KEY.reveal() not in wrapped.blob
    again = LocalKms(tmp_path / "kms.json")
    assert (await again.unwrap(wrapped, dict(reversed(CONTEXT.items())))).matches(KEY.reveal())
    assert stat.S_IMODE((tmp_path / "kms.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("other", [{}, {**CONTEXT, "organisation": "org_2"}, {**CONTEXT, "more": ""}])
async def test_another_context_is_denied(kms: LocalKms, other: dict[str, str]) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    with pytest.raises(KmsDenied):
        await kms.unwrap(wrapped, other)


async def test_a_changed_blob_and_another_service_s_are_denied(kms: LocalKms) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    changed = bytes([*wrapped.blob[:-1], wrapped.blob[-1] ^ 1])
    for wrong in (
        Wrapped(wrapped.key_id, changed),
        Wrapped("other:1", wrapped.blob),
        Wrapped("local:2", wrapped.blob),
        Wrapped("local:", wrapped.blob),
    ):
        with pytest.raises(KmsDenied):
            await kms.unwrap(wrong, CONTEXT)


async def test_another_file_s_key_is_denied_with_the_file_s_name(kms: LocalKms, tmp_path: Path) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    other = LocalKms(tmp_path / "other.json")
    await other.wrap(KEY, CONTEXT)
    with pytest.raises(KmsDenied, match=r"other\.json does not unwrap it"):
        await other.unwrap(wrapped, CONTEXT)


async def test_a_file_that_is_gone_is_not_made_anew_for_what_another_wrapped(kms: LocalKms, tmp_path: Path) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    (tmp_path / "kms.json").unlink()
    with pytest.raises(KmsUnreachable, match=r"kms\.json is not there"):
        await kms.unwrap(wrapped, CONTEXT)
    assert not (tmp_path / "kms.json").exists()


async def test_a_new_version_wraps_and_the_one_before_still_unwraps(kms: LocalKms) -> None:
    before = await kms.wrap(KEY, CONTEXT)
    assert kms.rotate() == 2
    after = await kms.wrap(KEY, CONTEXT)
    assert (before.key_id, after.key_id) == ("local:1", "local:2")
    for wrapped in (before, after):
        assert (await kms.unwrap(wrapped, CONTEXT)).matches(KEY.reveal())


async def test_a_disabled_version_does_nothing_until_it_is_enabled_again(kms: LocalKms) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    kms.set_state(1, "disabled")
    with pytest.raises(KmsDenied, match="disabled"):
        await kms.unwrap(wrapped, CONTEXT)
    with pytest.raises(KmsDenied, match="disabled"):
        await kms.wrap(KEY, CONTEXT)
    kms.set_state(1, "enabled")
    assert (await kms.unwrap(wrapped, CONTEXT)).matches(KEY.reveal())


async def test_a_destroyed_version_is_gone_for_good(kms: LocalKms, tmp_path: Path) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    kept = (tmp_path / "kms.json").read_text()
    kms.rotate()
    kms.set_state(1, "destroyed")
    with pytest.raises(KmsDenied, match="destroyed"):
        await kms.unwrap(wrapped, CONTEXT)
    with pytest.raises(KmsDenied, match="destroyed"):
        kms.set_state(1, "enabled")
    secrets = [part for part in kept.split('"') if len(part) == 44]
    assert secrets
    assert not any(secret in (tmp_path / "kms.json").read_text() for secret in secrets)


@pytest.mark.parametrize("content", ["", "{}", '{"versions": []}', '{"versions": [{"number": 1, "MARKER": 1}]}'])
async def test_a_damaged_file_is_unreachable_and_left_alone(kms: LocalKms, tmp_path: Path, content: str) -> None:
    (tmp_path / "kms.json").write_text(content)
    with pytest.raises(KmsUnreachable, match="may be damaged") as refusal:
        await kms.wrap(KEY, CONTEXT)
    assert "MARKER" not in str(refusal.value)
    assert (tmp_path / "kms.json").read_text() == content


async def test_many_first_uses_at_once_make_one_key(tmp_path: Path) -> None:
    services = [LocalKms(tmp_path / "kms.json") for _ in range(8)]
    wrapped = await asyncio.gather(*(service.wrap(KEY, CONTEXT) for service in services))
    for blob in wrapped:
        assert (await services[0].unwrap(blob, CONTEXT)).matches(KEY.reveal())
