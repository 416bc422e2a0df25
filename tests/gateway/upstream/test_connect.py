"""From an origin to a socket: names, checks, TLS, and how each of them fails."""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.upstream.client import Client
from gateway.upstream.errors import AddressForbidden, ConnectFailed, ConnectTimeout, Cut, UpstreamError
from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest
from gateway.upstream.resolve import FakeResolver
from gateway.upstream.tls import client_context

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def request_to(origin: Origin, connect_s: float = 5.0) -> UpstreamRequest:
    return UpstreamRequest(origin, RequestHead("GET", "/", b""), b"", Deadlines(connect_s=connect_s))


@pytest.fixture
def make_client(nothing_left, clock, limits):
    def make(names=None, *, allow=("127.0.0.0/8",), tls=None, resolver=None) -> Client:
        return Client(
            limits,
            allow_cidrs=[ipaddress.ip_network(network) for network in allow],
            tls=tls or client_context(None),
            resolver=resolver or FakeResolver(names or {}),
            clock=clock,
        )

    return make


async def test_connects_to_the_checked_address_and_names_the_host(make_client, provider):
    client = make_client({"api.test": ["127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(Origin("http", "api.test", provider.origin.port))))
    caller = await provider.accepted()
    head, _ = await caller.request()
    await caller.say(OK)
    await (await call).read(2)
    assert b"host: api.test:%d\r\n" % provider.origin.port in head
    await client.close()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["8.8.8.8", "::ffff:127.0.0.1"],
        ["8.8.8.8", "2606:4700::1111", "169.254.169.254"],
    ],
)
async def test_one_forbidden_address_refuses_the_name(make_client, provider, addresses):
    client = make_client({"rebound.test": addresses}, allow=())
    with pytest.raises(AddressForbidden) as raised:
        await client.send(request_to(Origin("http", "rebound.test", provider.origin.port)))
    assert "rebound.test" in raised.value.detail
    assert provider.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%lo"])
async def test_literal_addresses_are_checked_too_and_not_looked_up(make_client, host):
    resolver = FakeResolver({})
    client = make_client(resolver=resolver, allow=())
    with pytest.raises(AddressForbidden):
        await client.send(request_to(Origin("http", host, 9)))
    assert resolver.asked == []


async def test_a_name_is_looked_up_and_checked_anew_for_every_connection(make_client, provider):
    names = {"api.test": ["127.0.0.1"]}
    client = make_client(names)
    origin = Origin("http", "api.test", provider.origin.port)
    call = asyncio.create_task(client.send(request_to(origin)))
    caller = await provider.accepted()
    await caller.say(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    await (await call).read(2)
    names["api.test"] = ["10.0.0.1"]
    with pytest.raises(AddressForbidden):
        await client.send(request_to(origin))
    await client.close()


async def test_an_unknown_name(make_client):
    with pytest.raises(ConnectFailed, match=r"nowhere\.test: no address"):
        await make_client().send(request_to(Origin("http", "nowhere.test", 80)))


async def test_a_name_without_addresses(make_client):
    with pytest.raises(ConnectFailed, match="no address"):
        await make_client({"empty.test": []}).send(request_to(Origin("http", "empty.test", 80)))


async def test_a_refused_connection(make_client, provider):
    origin = provider.origin
    client = make_client({"provider.test": ["127.0.0.2"]})
    with pytest.raises(ConnectFailed) as raised:
        await client.send(request_to(origin))
    assert "127.0.0.2" in raised.value.detail
    await client.close()


async def test_addresses_are_tried_in_order(make_client, provider):
    # The provider listens on 127.0.0.1 alone, so the others refuse.
    client = make_client({"provider.test": ["127.0.0.2", "127.0.0.3", "127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(provider.origin)))
    caller = await provider.accepted()
    await caller.say(OK)
    assert (await call).status == 200
    await client.close()


class SilentResolver:
    """Never answers."""

    async def resolve(self, host):
        await asyncio.Event().wait()


async def test_connect_s_bounds_the_look_up(make_client):
    with pytest.raises(ConnectTimeout):
        await make_client(resolver=SilentResolver()).send(request_to(Origin("http", "slow.test", 80), connect_s=0.01))


async def test_connect_s_bounds_the_tls_handshake(make_client, provider):
    client = make_client({"provider.test": ["127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(Origin("https", "provider.test", provider.origin.port), 0.05)))
    caller = await provider.accepted()
    with pytest.raises(ConnectTimeout):
        await call
    await caller.gone()
    await client.close()


@pytest.fixture
async def black_hole(nothing_left, provider):
    """An address with the provider's port that swallows whoever would connect: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.9", provider.origin.port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield "127.0.0.9"


async def test_connect_s_bounds_the_connection_itself(make_client, provider, black_hole):
    client = make_client({"provider.test": [black_hole]})
    with pytest.raises(ConnectTimeout):
        await client.send(request_to(provider.origin, connect_s=0.05))


async def test_an_address_that_swallows_packets_leaves_time_for_the_next(make_client, provider, black_hole):
    client = make_client({"provider.test": [black_hole, "127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(provider.origin, connect_s=1.0)))
    caller = await provider.accepted()
    await caller.say(OK)
    assert (await call).status == 200
    await client.close()


async def test_cancelling_while_connecting_leaves_nothing(make_client, provider):
    client = make_client({"provider.test": ["127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(Origin("https", "provider.test", provider.origin.port))))
    caller = await provider.accepted()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await caller.gone()


async def test_closing_the_client_while_it_connects_leaves_nothing(make_client, provider):
    gate = asyncio.Event()

    class GatedResolver(FakeResolver):
        async def resolve(self, host):
            await gate.wait()
            return await super().resolve(host)

    client = make_client(resolver=GatedResolver({"provider.test": ["127.0.0.1"]}))
    call = asyncio.create_task(client.send(request_to(provider.origin)))
    await asyncio.sleep(0)
    await client.close()
    gate.set()
    with pytest.raises(ConnectFailed):
        await call


# TLS


def issue(name: str, *, issuer=None, ca: bool = False, names: tuple[str, ...] = (), days: int = 1):
    """A certificate and its key; signed by `issuer`, a pair of the same kind, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
            ),
            critical=False,
        )
    if issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False
        )
    if ca:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


@pytest.fixture(scope="module")
def authority():
    return issue("test authority", ca=True)


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(authority[0].public_bytes(serialization.Encoding.PEM))
    return path


def server_context(certificate, tmp_path) -> ssl.SSLContext:
    path = tmp_path / "server.pem"
    path.write_bytes(
        certificate[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate[0].public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
async def tls_provider(nothing_left, authority, tmp_path, provider):
    """The provider of the other tests, on another port and behind TLS."""
    certificate = issue("provider.test", issuer=authority, names=("provider.test", "127.0.0.1"))
    secure = type(provider)()
    await secure.start(server_context(certificate, tmp_path))
    yield secure
    await secure.stop()


@pytest.mark.parametrize("host", ["provider.test", "127.0.0.1"])
async def test_speaks_tls_to_a_host_whose_name_and_authority_are_right(make_client, tls_provider, ca_file, host):
    client = make_client({"provider.test": ["127.0.0.1"]}, tls=client_context(ca_file))
    request = request_to(Origin("https", host, tls_provider.origin.port))
    call = asyncio.create_task(client.send(request))
    caller = await tls_provider.accepted()
    await caller.request()
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"
    secured = caller.writer.get_extra_info("ssl_object")
    assert secured.version() in ("TLSv1.2", "TLSv1.3")
    assert secured.selected_alpn_protocol() == "http/1.1"
    call = asyncio.create_task(client.send(request))
    await caller.request()
    await caller.say(OK)
    assert await (await call).read(2) == b"hi"
    assert tls_provider.connections == 1
    await client.close()


async def test_large_bodies_go_both_ways_over_tls(make_client, tls_provider, ca_file):
    client = make_client({"provider.test": ["127.0.0.1"]}, tls=client_context(ca_file))
    body = bytes(range(256)) * 16_384
    request = UpstreamRequest(tls_provider.origin, RequestHead("POST", "/", b""), body, Deadlines())
    call = asyncio.create_task(client.send(request))
    caller = await tls_provider.accepted()
    assert (await caller.request())[1] == body
    caller.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    answer = await call
    got = b""
    while piece := await answer.chunk():
        got += piece
    assert got == body
    await client.close()


async def test_a_body_without_length_ends_with_a_proper_goodbye_over_tls(make_client, tls_provider, ca_file):
    client = make_client({"provider.test": ["127.0.0.1"]}, tls=client_context(ca_file))
    call = asyncio.create_task(client.send(request_to(tls_provider.origin)))
    caller = await tls_provider.accepted()
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    answer = await call
    caller.hang_up()
    assert await answer.read(100) == b"all of it"
    await client.close()


@pytest.mark.parametrize("head", [b"", b"content-length: 20\r\n"])
async def test_a_body_that_ends_without_goodbye_over_tls_is_a_cut(make_client, tls_provider, ca_file, head):
    client = make_client({"provider.test": ["127.0.0.1"]}, tls=client_context(ca_file))
    call = asyncio.create_task(client.send(request_to(tls_provider.origin)))
    caller = await tls_provider.accepted()
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nhalf of")
    answer = await call
    assert await answer.chunk() == b"half of"
    caller.reset()
    with pytest.raises(Cut) as raised:
        await answer.read(100)
    assert raised.value.answered
    await client.close()


@pytest.mark.parametrize(
    ("trusted", "names", "days", "reason"),
    [
        (False, ("provider.test",), 1, "certificate"),
        (True, ("elsewhere.test",), 1, "provider.test"),
        (True, ("*.provider.test",), 1, "provider.test"),
        (True, ("127.0.0.1",), 1, "provider.test"),
        (True, ("provider.test",), -1, "expired"),
    ],
)
async def test_a_host_that_cannot_prove_itself_is_refused_with_the_reason(
    make_client, provider, authority, ca_file, tmp_path, trusted, names, days, reason
):
    certificate = issue("x", issuer=authority, names=names, days=days)
    secure = type(provider)()
    await secure.start(server_context(certificate, tmp_path))
    client = make_client({"provider.test": ["127.0.0.1"]}, tls=client_context(ca_file if trusted else None))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # The server's loop tells of the handshake.
    with pytest.raises(ConnectFailed) as raised:
        await client.send(request_to(secure.origin))
    assert f"{secure.origin.authority}: 127.0.0.1: TLS: " in raised.value.detail
    assert reason in raised.value.detail
    await client.close()
    await secure.stop()


async def test_a_host_that_speaks_no_tls(make_client, provider):
    client = make_client({"provider.test": ["127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(Origin("https", "provider.test", provider.origin.port))))
    caller = await provider.accepted()
    await caller.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ConnectFailed, match="TLS"):
        await call
    await client.close()


async def test_a_host_that_hangs_up_in_the_handshake(make_client, provider):
    client = make_client({"provider.test": ["127.0.0.1"]})
    call = asyncio.create_task(client.send(request_to(Origin("https", "provider.test", provider.origin.port))))
    caller = await provider.accepted()
    caller.hang_up()
    with pytest.raises(UpstreamError) as raised:
        await call
    assert isinstance(raised.value, ConnectFailed)
    await client.close()


def test_tls_is_1_2_or_newer_and_checks_names(ca_file):
    context = client_context(ca_file)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ValueError, match=path.name):
            client_context(path)
