"""Certificates of one place alone: authorities to trust there, and a certificate to show, on a real TLS server."""

import asyncio
import ssl
from dataclasses import replace
from ipaddress import ip_network

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.upstream.client import Client
from gateway.upstream.errors import ConnectFailed, UpstreamError
from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest
from gateway.upstream.resolve import FakeResolver
from gateway.upstream.tls import Contexts, client_context, trust
from shared.crypto.secret import Secret
from tests.fixtures.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Pki:
    """Who vouches for the provider, who for its callers; and a caller's certificate, of each."""

    def __init__(self, folder) -> None:
        self.providers, self.callers = Authority.make(), Authority.make()
        self.providers.issue(folder / "server.pem", folder / "server.key", name="provider.test")
        self._folder = folder

    @property
    def ca(self) -> bytes:
        return self.providers.certificate.public_bytes(Encoding.PEM)

    def client(self, authority: Authority) -> Secret:
        cert, key = self._folder / "client.pem", self._folder / "client.key"
        authority.issue(cert, key, name="gateway.test")
        return Secret(cert.read_bytes() + key.read_bytes())

    def server(self) -> ssl.SSLContext:
        """Wants a certificate of its callers' authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.callers.certificate.public_bytes(Encoding.PEM).decode())
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def strict(nothing_left, provider, pki):
    secure = type(provider)()
    await secure.start(pki.server())
    yield secure
    await secure.stop()


@pytest.fixture
async def client(nothing_left, clock, limits):
    client = Client(
        limits,
        allow_cidrs=[ip_network("127.0.0.0/8")],
        tls=client_context(None),
        resolver=FakeResolver({"provider.test": ["127.0.0.1"]}),
        clock=clock,
    )
    yield client
    await client.close()


def ask(origin: Origin, trusted=None) -> UpstreamRequest:
    return UpstreamRequest(replace(origin, trust=trusted), RequestHead("GET", "/", b""), b"", Deadlines())


async def call(client, strict, trusted, caller=None):
    calling = asyncio.create_task(client.send(ask(strict.origin, trusted)))
    caller = caller or await strict.accepted()
    await caller.request()
    await caller.say(OK)
    assert await (await calling).read(2) == b"hi"
    return caller


async def test_a_place_is_trusted_by_its_own_authority_and_shown_the_certificate_set_for_it(client, strict, pki):
    caller = await call(client, strict, trust(pki.ca, pki.client(pki.callers)))
    subject = dict(pair for (pair,) in caller.writer.get_extra_info("ssl_object").getpeercert()["subject"])
    assert subject["commonName"] == "gateway.test"


async def test_connections_are_shared_by_those_who_trust_and_show_the_same_and_by_nobody_else(client, strict, pki):
    shown = pki.client(pki.callers)
    caller = await call(client, strict, trust(pki.ca, shown))
    await call(client, strict, trust(pki.ca, Secret(shown.reveal())), caller)
    assert strict.connections == 1
    await call(client, strict, trust(pki.ca, pki.client(pki.callers)))
    assert strict.connections == 2
    with pytest.raises(UpstreamError):
        await client.send(ask(strict.origin))


@pytest.mark.parametrize("case", ["no authority", "no certificate", "a stranger's certificate"])
async def test_whoever_lacks_a_half_of_it_does_not_get_in(client, strict, pki, case):
    trusted = {
        "no authority": lambda: trust(b"", pki.client(pki.callers)),
        "no certificate": lambda: trust(pki.ca, None),
        "a stranger's certificate": lambda: trust(pki.ca, pki.client(pki.providers)),
    }[case]()
    with pytest.raises(UpstreamError):  # With TLS 1.3 a server refuses a client's certificate after the handshake.
        await client.send(ask(strict.origin, trusted))


async def test_what_openssl_does_not_take_is_a_failed_connection(client, strict):
    with pytest.raises(ConnectFailed, match="certificates that are set for it"):
        await client.send(ask(strict.origin, trust(b"", Secret("no certificate"))))


async def test_the_operators_own_authorities_are_trusted_there_too(pki, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pki.callers.certificate.public_bytes(Encoding.PEM))
    context = await Contexts(client_context(tmp_path / "ca.pem")).of(trust(pki.ca, None))
    found = context.get_ca_certs(binary_form=True)
    assert pki.providers.certificate.public_bytes(Encoding.DER) in found
    assert pki.callers.certificate.public_bytes(Encoding.DER) in found


async def test_settings_are_made_once_and_not_without_end(pki):
    contexts = Contexts(client_context(None), contexts_max=2)
    first = await contexts.of(trust(pki.ca, None))
    assert await contexts.of(trust(pki.ca, None)) is first
    assert await contexts.of(None) is not first
    for number in range(3):
        await contexts.of(trust(pki.ca + b"\n" * (number + 1), None))
    assert len(contexts._special) <= 2


def test_nothing_of_it_prints(pki):
    assert "PRIVATE" not in repr(trust(pki.ca, pki.client(pki.callers)))
    assert trust(b"", None) is None
