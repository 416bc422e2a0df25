"""The loop guard: a call passes three gateways and no fourth, and no caller can make the count smaller."""

import pytest

from gateway.errors import Code, GatewayError
from gateway.pipeline.hops import HOP, HOPS_MAX, next_hop


def test_each_gateway_counts_one_on() -> None:
    headers: dict[str, str] = {}
    for hop in range(1, HOPS_MAX + 1):
        line = next_hop(headers)
        assert line == f"{HOP}: {hop}\r\n".encode()
        name, _, value = line.decode().rstrip().partition(": ")
        headers = {name: value}
    with pytest.raises(GatewayError) as caught:
        next_hop(headers)
    assert (caught.value.code, caught.value.row.status) == (Code.LOOP_DETECTED, 508)
    assert not caught.value.row.retry_helps


@pytest.mark.parametrize("forged", ["0", "-1", "4", "1e0", "01", "", " 1", "x", "9" * 50])
def test_what_no_gateway_says_is_refused_and_never_counted_on_from(forged: str) -> None:
    with pytest.raises(GatewayError) as caught:
        next_hop({HOP: forged})
    assert (caught.value.code, caught.value.param) == (Code.HEADER_INVALID, HOP)
