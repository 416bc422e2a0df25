"""Origins and base URLs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest, parse_origin
from gateway.upstream.tls import trust


@pytest.mark.parametrize(
    ("url", "origin", "prefix", "authority"),
    [
        ("https://api.test", Origin("https", "api.test", 443), "", "api.test"),
        ("https://api.test/", Origin("https", "api.test", 443), "", "api.test"),
        ("HTTPS://API.Test/v1/", Origin("https", "api.test", 443), "/v1", "api.test"),
        ("http://api.test/a/b@c", Origin("http", "api.test", 80), "/a/b@c", "api.test"),
        ("http://api.test:8080/v1", Origin("http", "api.test", 8080), "/v1", "api.test:8080"),
        ("https://api.test:443", Origin("https", "api.test", 443), "", "api.test"),
        ("http://api.test:443", Origin("http", "api.test", 443), "", "api.test:443"),
        ("http://my_service:65535", Origin("http", "my_service", 65535), "", "my_service:65535"),
        ("http://10.0.0.1", Origin("http", "10.0.0.1", 80), "", "10.0.0.1"),
        ("http://[2001:DB8::1]:81/x", Origin("http", "2001:db8::1", 81), "/x", "[2001:db8::1]:81"),
        ("http://[0:0::1]", Origin("http", "::1", 80), "", "[::1]"),
        ("http://xn--caf-dma.test", Origin("http", "xn--caf-dma.test", 80), "", "xn--caf-dma.test"),
        ("http://a.1b.2c", Origin("http", "a.1b.2c", 80), "", "a.1b.2c"),
    ],
)
def test_reads_a_base_url(url, origin, prefix, authority):
    assert parse_origin(url) == (origin, prefix)
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.test",
        "//api.test",
        "https:/api.test",
        "https:api.test",
        "https://",
        "https:///v1",
        "https://:443",
        "ftp://api.test",
        "file:///etc/passwd",
        "gopher://api.test",
        "unix://x",
        "javascript://api.test",
        "https://user@api.test",
        "https://user:pass@api.test",
        "https://api.test@127.0.0.1",
        "https://api.test:80@127.0.0.1",
        "https://api.test\\@127.0.0.1",
        "https://api.test\\.evil.test",
        "https://api.test/#x",
        "https://api.test#@127.0.0.1",
        "https://api.test?x",
        "https://api.test/?x=1",
        "https://api .test",
        " https://api.test",
        "https://api.test ",
        "https://api.test\n",
        "https://api.test\r\nx: y",
        "https://a\tpi.test",
        "https://api.test/\x00",
        "https://api.test/\x7f",
        "https://api.test:0",
        "https://api.test:65536",
        "https://api.test:",
        "https://api.test:-1",
        "https://api.test:+80",
        "https://api.test:80:80",
        "https://api.test:\uff18\uff10",
        "https://api.test:8_0",
        "https://api.test.",
        "https://.api.test",
        "https://api..test",
        "https://-api.test",
        "https://api-.test",
        "https://api%2etest",
        "https://%31%32%37.0.0.1",
        "https://api,test",
        "https://api;test",
        "https://*",
        "https://café.test",
        "https://api。test",
        "https://①②⑦.0.0.1",
        "https://ⓛocalhost",
        "https://127.1",
        "https://127.0.1",
        "https://127.0.0.1.",
        "https://0127.0.0.1",
        "https://0177.0.0.1",
        "https://0x7f.0.0.1",
        "https://0x7f000001",
        "https://0x",
        "https://2130706433",
        "https://017700000001",
        "https://127.0.0.0x1",
        "https://127.0.0.01",
        "https://127.0.0.1.1",
        "https://256.0.0.1",
        "https://1.2.3.4.test.5",
        "https://[::1",
        "https://::1",
        "https://[::1]x",
        "https://[::1]]",
        "https://[::1%25eth0]",
        "https://[::1%eth0]",
        "https://[fe80::1%1]",
        "https://[]",
        "https://[127.0.0.1]",
        "https://[:::1]",
        "https://[v1.x]",
        "https://[::1]:",
        "https://[::1].test",
        "https://" + "a" * 64 + ".test",
        "https://" + "a." * 127 + "test",
        "https://api.test/" + "a" * 2000,
    ],
)
def test_refuses_what_could_be_read_in_two_ways(url):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse_origin(url)


@given(st.text(max_size=60).map(lambda text: "https://" + text))
def test_whatever_is_read_can_be_written_again_and_reads_the_same(url):
    try:
        origin, prefix = parse_origin(url)
    except ValueError:
        return
    assert parse_origin(f"{origin.scheme}://{origin.authority}{prefix}") == (origin, prefix)
    assert origin.authority.isascii()
    assert not set(origin.authority) & set("@/\\?# \r\n\t%")


@pytest.mark.parametrize(
    "fault",
    [
        {"target": "/a b"},
        {"target": "/a\r\nx: y"},
        {"target": "http://elsewhere/"},
        {"target": "/é"},
        {"target": ""},
        {"headers": b"a: b"},
        {"headers": b"a: b\n"},
        {"headers": b"a: b\r\n\r\n"},
        {"headers": b"\r\na: b\r\n"},
        {"headers": b"a: b\rc: d\r\n"},
        {"headers": b"a: key\nx: y\r\n"},
        {"headers": b"a : b\r\n"},
        {"headers": b"a: \x00\r\n"},
        {"method": ""},
        {"method": "GET /x HTTP/1.1\r\nhost: a\r\n\r\nGET"},
    ],
)
def test_what_would_be_another_request_is_no_head(fault):
    with pytest.raises(ValueError, match=r"^(a request has|the header block is)"):
        RequestHead(**({"method": "POST", "target": "/v1", "headers": b"a: b\r\n"} | fault))


@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)).map(lambda text: "/" + text),
    st.lists(st.sampled_from([b"a: b\r\n", b"c:\r\n", b"accept-encoding: identity\r\n", b"d: \xff\r\n"])).map(b"".join),
)
def test_a_head_gives_back_what_it_was_made_of(method, target, headers):
    head = RequestHead(method, target, headers)
    assert (head.method, head.target, head.headers) == (method, target, headers)


def test_a_request_does_not_print_what_it_carries():
    head = RequestHead("POST", "/", b"authorization: sk-1\r\n")
    request = UpstreamRequest(Origin("http", "a", 80), head, b"prompt", Deadlines())
    assert "sk-1" not in repr(request)
    assert "prompt" not in repr(request)
    assert repr(head) == "RequestHead(POST /)"


def test_an_origin_is_found_by_what_it_says() -> None:
    origin = Origin("https", "api.test", 443)
    other = replace(origin, trust=trust(b"authority", None))
    assert {origin: 1}[Origin("https", "api.test", 443)] == 1
    assert other not in {origin: 1}
    assert hash(replace(other, trust=None)) == hash(origin)
    assert "hash" not in repr(origin)
