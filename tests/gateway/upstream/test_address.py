"""The SSRF corpus: addresses by class, and how each may and may not be let through."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.address import METADATA, refusal

EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))

FORBIDDEN = {
    "unspecified": "0.0.0.0 0.0.0.1 0.255.255.255 ::",
    "loopback": "127.0.0.1 127.0.0.0 127.1.2.3 127.255.255.255 ::1",
    "private": "10.0.0.0 10.0.0.1 10.255.255.255 172.16.0.0 172.16.0.1 172.31.255.255 192.168.0.0 192.168.1.1 "
    "192.168.255.255 fc00:: fc00::1 fd00::1 fd12:3456:789a::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "carrier-grade NAT": "100.64.0.0 100.64.0.1 100.100.100.201 100.127.255.255",
    "link-local": "169.254.0.0 169.254.0.1 169.254.169.253 169.254.255.255 fe80:: fe80::1 fe80::a9fe:a9fe febf::1",
    "site-local": "fec0::1 feff::1",
    "multicast": "224.0.0.0 224.0.0.1 239.255.255.255 ff00:: ff02::1 ff0e::1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.0 240.0.0.1 255.255.255.254 ::1:0:0:1 1::1 200::1 400::1 4000::1 5f00::1 8000::1 c000::1 "
    "e000::1 f000::1 fe00::1 fbff::1",
    "benchmarking": "198.18.0.0 198.18.0.1 198.19.255.255",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.1 203.0.113.255 2001:db8::1 3fff::1 3fff:fff::1",
    "protocol assignment": "192.0.0.0 192.0.0.8 192.0.0.170 192.0.0.255 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1",
    "6to4 relay": "192.88.99.0 192.88.99.1",
    "discard-only": "100::1",
    "IPv4-mapped": "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0.0.0.0 ::ffff:192.168.1.1 ::ffff:8.8.8.8 "
    "0:0:0:0:0:ffff:7f00:1 ::FFFF:7F00:0001",
    "IPv4-compatible": "::127.0.0.1 ::10.0.0.1 ::8.8.8.8 ::2",
    "local-use NAT64": "64:ff9b:1::1 64:ff9b:1:ffff::10.0.0.1",
    "6to4": "2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101:: 2002:808:808::1",
    "Teredo": "2001:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001::1",
}
NAT64 = {
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b::192.168.1.1": "private",
    "64:ff9b::100.64.0.1": "carrier-grade NAT",
    "64:ff9b::0.0.0.0": "unspecified",
    "64:ff9b::224.0.0.1": "multicast",
    "64:ff9b::8.8.8.8": None,
}
ALLOWED = (
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 "
    "169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 "
    "198.17.255.255 198.20.0.0 223.255.255.255 104.18.7.192 2001:200::1 2001:4860:4860::8888 2606:4700::1111 "
    "2a00:1450::1 2003::1 3ffe::1"
)
IMDS_IN_DISGUISE = (
    "::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe:: 2002:a9fe:a9fe::1 "
    "::ffff:100.100.100.200 64:ff9b::100.100.100.200 2001:0:a9fe:a9fe:: 2001:0:1:1:0:0:5601:5601"
)


@pytest.mark.parametrize(
    ("address", "reason"), [(address, reason) for reason, text in FORBIDDEN.items() for address in text.split()]
)
def test_what_is_not_the_public_internet_is_refused_unless_allowed(address, reason):
    address = ip_address(address)
    assert refusal(address, ()) == reason
    assert refusal(address, (ip_network("203.0.112.0/24"), ip_network("2001:db7::/32"))) == reason
    assert refusal(address, (ip_network(f"{address}/{address.max_prefixlen}"),)) is None
    assert refusal(address, EVERYTHING) is None


@pytest.mark.parametrize(("address", "reason"), NAT64.items())
def test_behind_nat64_counts_the_host_behind_it(address, reason):
    assert refusal(ip_address(address), ()) == reason


def test_behind_nat64_counts_what_is_allowed_for_the_host():
    assert refusal(ip_address("64:ff9b::10.0.0.1"), (ip_network("10.0.0.0/8"),)) is None


@pytest.mark.parametrize("address", ALLOWED.split())
def test_public_addresses_may_be_called(address):
    assert refusal(ip_address(address), ()) is None


@pytest.mark.parametrize("address", [*map(str, METADATA), *IMDS_IN_DISGUISE.split()])
def test_metadata_services_are_refused_whatever_is_allowed(address):
    assert refusal(ip_address(address), EVERYTHING) == "metadata service"
    assert refusal(ip_address(address), ()) == "metadata service"


def test_the_three_named_metadata_addresses_are_among_them():
    assert {ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200")} <= METADATA


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fd00:ec2::254%1", "2606:4700::1111%0"])
def test_an_address_with_a_zone_is_refused_whatever_is_allowed(address):
    assert refusal(ip_address(address), EVERYTHING) == "zone"


def test_allowing_an_ipv4_network_lets_no_ipv6_form_of_it_through():
    allowed = (ip_network("127.0.0.0/8"),)
    assert refusal(ip_address("127.0.0.1"), allowed) is None
    assert refusal(ip_address("::ffff:127.0.0.1"), allowed) == "IPv4-mapped"
    assert refusal(ip_address("2002:7f00:1::"), allowed) == "6to4"


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_that_python_calls_not_global_gets_through(address):
    if not address.is_global:
        assert refusal(address, ()) is not None
