"""How many gateways of ours a call has passed (pure): a config that leads back to a gateway must not go in circles."""

from collections.abc import Mapping

from gateway.errors import Code, GatewayError

HOP = "x-gatehouse-hop"
HOPS_MAX = 3

_LINES = {None: b"x-gatehouse-hop: 1\r\n", "1": b"x-gatehouse-hop: 2\r\n", "2": b"x-gatehouse-hop: 3\r\n"}


def next_hop(headers: Mapping[str, str]) -> bytes:
    """The header line for the provider. What a caller says is counted on from, never passed on as it is.

    Raises GatewayError for a call that has come round, or whose header is none of ours.
    """
    given = headers.get(HOP)
    line = _LINES.get(given)
    if line is not None:
        return line
    if given != str(HOPS_MAX):
        raise GatewayError(Code.HEADER_INVALID, f"`{HOP}` is set by gateways alone; remove it", param=HOP)
    message = f"this call has passed {HOPS_MAX} gateways: a provider's address or a custom host leads back to one"
    raise GatewayError(Code.LOOP_DETECTED, message, param=HOP)
