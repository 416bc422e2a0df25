"""Certificates as people paste them into forms: what is one is kept, what is none is refused and not shown."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto.certificates import PEM_CHARS_MAX, client_certificate, pem_certificates
from tests.fixtures.certificates import Authority

AUTHORITY = Authority.make()
CA = AUTHORITY.certificate.public_bytes(Encoding.PEM).decode()
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def pair(folder: Path) -> tuple[str, str]:
    AUTHORITY.issue(folder / "cert.pem", folder / "key.pem", name="gateway.test")
    return (folder / "cert.pem").read_text(), (folder / "key.pem").read_text()


def written(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> str:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


def test_certificates_are_kept_as_they_were_pasted() -> None:
    assert pem_certificates(f"\n{CA}{CA}  ") == f"{CA}{CA}"


def test_a_pair_may_come_in_either_order_and_with_its_chain(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path)
    for text in (certificate + key, key + certificate, certificate + CA + key):
        assert client_certificate(text).reveal_text() == text


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("{certificate}", "a private key in PEM is wanted"),
        ("{key}", "certificates in PEM are wanted"),
        ("{certificate}{other_key}", "not that of the first certificate"),
        ("{ca}{certificate}{key}", "not that of the first certificate"),
        ("{certificate}{locked_key}", "has a password"),
        ("", "certificates in PEM are wanted"),
        ("x" * (PEM_CHARS_MAX + 1), "at most"),
    ],
)
def test_what_is_no_pair_is_refused_and_not_shown(tmp_path: Path, told: str, why: str) -> None:
    certificate, key = pair(tmp_path)
    other, locked = written(OTHER_KEY), written(OTHER_KEY, b"word")
    text = told.format(certificate=certificate, key=key, ca=CA, other_key=other, locked_key=locked)
    with pytest.raises(ValueError, match=why) as refused:
        client_certificate(text)
    assert "BEGIN PRIVATE" not in str(refused.value)


@given(st.one_of(st.text(max_size=200), st.integers(), st.text(max_size=50).map(lambda text: CA[:300] + text)))
def test_nothing_that_is_pasted_breaks_more_than_its_field(value: object) -> None:
    for read in (pem_certificates, client_certificate):
        with pytest.raises(ValueError):
            read(value)
