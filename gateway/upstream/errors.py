"""What can go wrong on the way to a provider and back.

UpstreamError
├── AddressForbidden   the resolved address may not be called (SSRF rule)
├── ConnectFailed      no address, refused, unreachable, TLS failed
├── ConnectTimeout     no connection within connect_s
├── FirstByteTimeout   no head within first_byte_s
├── StallTimeout       no byte within between_bytes_s
├── TotalTimeout       not ended within total_s
├── Cut                the connection ended before the answer did
├── ProtocolFault      what came is not HTTP/1.1 as we accept it
└── TooLarge           head or body over its limit

Errors of asyncio, ssl and httptools are renamed here and nowhere else; nothing but an UpstreamError leaves `send`,
`read` and `chunk`, except cancellation.
"""


class UpstreamError(Exception):
    """`detail` is for our logs and may name hosts; it holds no secret and no content."""

    code = "upstream_error"

    def __init__(self, detail: str, *, answered: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.answered = answered
        """Whether a first byte of an answer had come."""


class AddressForbidden(UpstreamError):
    code = "upstream_address_forbidden"


class ConnectFailed(UpstreamError):
    code = "upstream_connect_failed"


class ConnectTimeout(UpstreamError):
    code = "upstream_connect_timeout"


class FirstByteTimeout(UpstreamError):
    code = "upstream_first_byte_timeout"


class StallTimeout(UpstreamError):
    code = "upstream_stalled"


class TotalTimeout(UpstreamError):
    code = "upstream_total_timeout"


class Cut(UpstreamError):
    code = "upstream_cut"


class ProtocolFault(UpstreamError):
    code = "upstream_protocol_fault"


class TooLarge(UpstreamError):
    code = "upstream_answer_too_large"
