"""An authority made on the spot, and a certificate of its for 127.0.0.1: what TLS costs is measured with them."""

import datetime
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files."""

    authority: Path
    chain: Path
    key: Path
    both: Path
    """Chain and key in one."""


def make(folder: Path) -> Certificates:
    """Elliptic curves (P-256), as most servers have them; good for a day."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _builder("Bench authority", "Bench authority", authority_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    server = _builder("127.0.0.1", "Bench authority", key).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
    )
    made = Certificates(*(folder / name for name in ("authority.pem", "chain.pem", "key.pem", "both.pem")))
    made.authority.write_bytes(_pem(authority.sign(authority_key, hashes.SHA256())))
    made.chain.write_bytes(_pem(server.sign(authority_key, hashes.SHA256())))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made.both.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
    return made


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    return x509.CertificateBuilder(
        names[1], names[0], key.public_key(), x509.random_serial_number(), now - _DAY, now + _DAY
    )
