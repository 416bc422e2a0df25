"""Through an egress proxy: a real one on loopback that opens tunnels, refuses, stalls, hangs up and talks nonsense."""

import asyncio
import base64
import ssl
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.client import Client
from gateway.upstream.egress import ANSWER_BYTES_MAX, PORT, Egress, parse, private_name
from gateway.upstream.errors import AddressForbidden, ConnectFailed, ConnectTimeout
from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest
from gateway.upstream.resolve import FakeResolver
from tests.fixtures.certificates import Authority
from tests.fixtures.far_hosts import pump

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
OPENED = b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n"


class Proxy:
    """Opens a tunnel to `to` whatever it is asked for, after saying `answer`; None: it never answers."""

    def __init__(self, to: int, answer: bytes | None = OPENED, *, hangs_up: bool = False) -> None:
        self.asked: list[bytes] = []
        self._to = to
        self._answer = answer
        self._hangs_up = hangs_up
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[asyncio.current_task()] = writer
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            if self._hangs_up:
                return
            if self._answer is None:
                await reader.read()
                return
            writer.write(self._answer)
            if not self._answer.startswith(b"HTTP/1.1 2"):
                await reader.read()
                return
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.close()
            del self._open[asyncio.current_task()]

    async def stop(self) -> None:
        self._server.close()
        serving = tuple(self._open)
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*serving)
        await self._server.wait_closed()


@pytest.fixture
async def tls_provider(nothing_left, tmp_path, provider):
    authority = Authority.make()
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem", name="api.provider.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    secure = type(provider)()
    await secure.start(context)
    secure.trusted = authority.trusted()
    yield secure
    await secure.stop()


@pytest.fixture
async def proxies(nothing_left, tls_provider):
    started = []

    async def make(answer=OPENED, **more) -> Proxy:
        proxy = Proxy(tls_provider.origin.port, answer, **more)
        await proxy.start()
        started.append(proxy)
        return proxy

    yield make
    for proxy in started:
        await proxy.stop()


@pytest.fixture
def make_client(nothing_left, clock, limits, tls_provider):
    def make(egress: Egress, *, names=None, allow=("127.0.0.0/8",)) -> Client:
        return Client(
            limits,
            allow_cidrs=[ip_network(network) for network in allow],
            tls=tls_provider.trusted,
            resolver=FakeResolver(names or {}),
            clock=clock,
            egress=egress,
        )

    return make


def ask(host="api.provider.test", port=443, connect_s=5.0) -> UpstreamRequest:
    head = RequestHead("POST", "/v1", b"authorization: Bearer sk\r\n")
    return UpstreamRequest(Origin("https", host, port), head, b"{}", Deadlines(connect_s=connect_s))


async def test_a_call_goes_through_the_proxy_which_alone_resolves_and_sees_nothing_but_the_host(
    make_client, proxies, tls_provider
):
    proxy = await proxies()
    client = make_client(parse(f"http://127.0.0.1:{proxy.port}", ""))
    caller = None
    for _ in range(2):  # The second on the kept connection.
        call = asyncio.create_task(client.send(ask()))
        caller = caller or await tls_provider.accepted()
        head, body = await caller.request()
        await caller.say(OK)
        assert await (await call).read(2) == b"hi"
        assert (head.split(b"\r\n")[0], body) == (b"POST /v1 HTTP/1.1", b"{}")
    assert proxy.asked == [b"CONNECT api.provider.test:443 HTTP/1.1\r\nhost: api.provider.test:443\r\n\r\n"]
    await client.close()


async def test_the_proxy_gets_its_login_and_the_provider_does_not(make_client, proxies, tls_provider):
    proxy = await proxies()
    egress = parse(f"http://gate%40house:p%3Aass@127.0.0.1:{proxy.port}", "")
    client = make_client(egress)
    call = asyncio.create_task(client.send(ask()))
    caller = await tls_provider.accepted()
    head, _ = await caller.request()
    await caller.say(OK)
    await (await call).read(2)
    login = base64.b64encode(b"gate@house:p:ass")
    assert b"\r\nproxy-authorization: Basic " + login + b"\r\n" in proxy.asked[0]
    assert login not in head
    assert b"proxy-authorization" not in head
    assert "p:ass" not in repr(egress)
    await client.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "asks for another login"),
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!", "refuses it"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "status 502"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no answer to CONNECT"),
        (OPENED + b"early", "no answer to CONNECT"),
        (b"HTTP/1.1 200 " + b"x" * (ANSWER_BYTES_MAX + 1), "no answer to CONNECT"),
    ],
)
async def test_a_proxy_that_does_not_open_the_way_is_a_failed_connection(make_client, proxies, answer, says):
    proxy = await proxies(answer)
    client = make_client(parse(f"http://gate:secret-word@127.0.0.1:{proxy.port}", ""))
    with pytest.raises(ConnectFailed, match=says) as raised:
        await client.send(ask())
    assert "secret-word" not in raised.value.detail
    await client.close()


async def test_a_proxy_that_hangs_up(make_client, proxies):
    proxy = await proxies(hangs_up=True)
    client = make_client(parse(f"http://127.0.0.1:{proxy.port}", ""))
    with pytest.raises(ConnectFailed, match="closed the connection"):
        await client.send(ask())
    await client.close()


async def test_a_proxy_that_is_not_there(make_client, proxies):
    proxy = await proxies()
    await proxy.stop()
    client = make_client(parse(f"http://127.0.0.1:{proxy.port}", ""))
    with pytest.raises(ConnectFailed, match=rf"api\.provider\.test through 127\.0\.0\.1:{proxy.port}"):
        await client.send(ask())
    await client.close()


async def test_connect_s_bounds_the_whole_way(make_client, proxies):
    proxy = await proxies(None)
    client = make_client(parse(f"http://127.0.0.1:{proxy.port}", ""))
    with pytest.raises(ConnectTimeout):
        await client.send(ask(connect_s=0.05))
    await client.close()


async def test_the_certificate_is_that_of_the_provider_whatever_the_proxy_says(make_client, proxies):
    proxy = await proxies()
    client = make_client(parse(f"http://127.0.0.1:{proxy.port}", ""))
    with pytest.raises(ConnectFailed, match="TLS"):
        await client.send(ask(host="other.provider.test"))
    await client.close()


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "::1", "localhost", "vault", "db.internal", "a.local"])
async def test_what_can_only_be_private_is_not_called_through_the_proxy(make_client, proxies, host):
    proxy = await proxies()
    client = make_client(parse(f"http://127.0.0.1:{proxy.port}", ""), allow=())
    with pytest.raises(AddressForbidden):
        await client.send(ask(host=host))
    assert proxy.asked == []
    await client.close()


async def test_what_no_proxy_names_is_called_directly_and_checked_as_ever(make_client, proxies, tls_provider):
    proxy = await proxies()
    egress = parse(f"http://127.0.0.1:{proxy.port}", "provider.test")
    client = make_client(egress, names={"api.provider.test": ["127.0.0.1"]})
    call = asyncio.create_task(client.send(ask(port=tls_provider.origin.port)))
    caller = await tls_provider.accepted()
    await caller.request()
    await caller.say(OK)
    await (await call).read(2)
    assert proxy.asked == []
    await client.close()
    strict = make_client(egress, names={"api.provider.test": ["127.0.0.1"]}, allow=())
    with pytest.raises(AddressForbidden):
        await strict.send(ask(port=tls_provider.origin.port))
    await strict.close()


# What is read from the settings.


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "carried"),
    [
        ("", "api.test", 443, True),
        ("*", "api.test", 443, False),
        ("api.test", "api.test", 443, False),
        ("api.test", "v1.api.test", 443, False),
        ("api.test", "myapi.test", 443, True),
        (".api.test", "api.test", 443, False),
        ("*.api.test", "v1.api.test", 443, False),
        ("API.test", "api.test", 443, False),
        ("one.test, api.test", "api.test", 443, False),
        ("one.test api.test", "api.test", 443, False),
        ("api.test:8443", "api.test", 443, True),
        ("api.test:8443", "api.test", 8443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, False),
        ("10.0.0.0/8", "11.1.2.3", 443, True),
        ("10.1.2.3:8443", "10.1.2.3", 443, True),
        ("10.1.2.3:8443", "10.1.2.3", 8443, False),
        ("fd00::/8", "fd00::1", 443, False),
        ("[fd00::1]:8443", "fd00::1", 8443, False),
        ("[fd00::1]:8443", "fd00::1", 443, True),
        (".", "api.test", 443, True),
        (",,", "api.test", 443, True),
    ],
)
def test_no_proxy(no_proxy, host, port, carried):
    assert parse("proxy.test", no_proxy).carries(Origin("https", host, port)) is carried


def test_only_https_goes_through():
    assert not parse("proxy.test", "").carries(Origin("http", "api.test", 80))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://proxy.test:8080", "proxy.test", 8080),
        ("http://proxy.test:8080/", "proxy.test", 8080),
        ("proxy.test:8080", "proxy.test", 8080),
        ("http://proxy.test", "proxy.test", PORT),
        ("http://[::1]:8080", "::1", 8080),
    ],
)
def test_addresses_of_proxies(url, host, port):
    egress = parse(url, "")
    assert (egress.host, egress.port, egress.login) == (host, port, None)


@pytest.mark.parametrize(
    "url",
    ["https://p.test", "socks5://p.test", "http://", "http://p.test/path", "http://p.test:x", "http://p.test?q=s3"],
)
def test_what_is_no_proxy_is_refused_without_being_shown(url):
    with pytest.raises(ValueError, match="a proxy is wanted") as raised:
        parse(url, "")
    assert "p.test" not in str(raised.value)


@given(st.text(max_size=40), st.text(max_size=40))
def test_nothing_that_is_set_breaks_more_than_its_setting(url, no_proxy):
    try:
        egress = parse(url, no_proxy)
    except ValueError:
        return
    assert egress.carries(Origin("https", "api.test", 443)) in (True, False)


def test_names_of_private_networks():
    assert all(private_name(name) for name in ("localhost", "x.localhost", "nas.local", "db.internal.", "intranet"))
    assert not any(private_name(name) for name in ("api.openai.com", "internal.example.com", "local.test"))
