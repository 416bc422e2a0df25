"""Every error the gateway makes itself: one table of codes, one exception type.

A caller's mistake is 4xx, a provider out of reach 502 or 504, a gateway that cannot serve right now 503; there is no
500 for anything a caller can send. What a provider answers is not here: that is relayed (`providers/`).
"""

from enum import StrEnum

import msgspec


class Code(StrEnum):
    HTTP_MALFORMED = "http_malformed"
    JSON_MALFORMED = "json_malformed"
    BODY_INVALID = "body_invalid"
    PARAMETER_UNSUPPORTED = "parameter_unsupported"
    HEADER_INVALID = "header_invalid"
    CONFIG_INVALID = "config_invalid"
    CONTENT_TYPE_INVALID = "content_type_invalid"
    API_KEYS_CONFLICT = "api_keys_conflict"
    SLUG_UNKNOWN = "slug_unknown"
    PROVIDER_UNKNOWN = "provider_unknown"
    PROVIDER_KEY_MISSING = "provider_key_missing"
    MODEL_MISSING = "model_missing"
    MODEL_AMBIGUOUS = "model_ambiguous"
    TARGET_MISSING = "target_missing"
    DOOR_UNSUPPORTED = "door_unsupported"
    INLINE_CONFIG_BLOCKED = "inline_config_blocked"
    INLINE_PROVIDER_BLOCKED = "inline_provider_blocked"
    INLINE_CUSTOM_HOST_BLOCKED = "inline_custom_host_blocked"
    INLINE_FORWARD_HEADERS_BLOCKED = "inline_forward_headers_blocked"
    CUSTOM_HOST_FORBIDDEN = "custom_host_forbidden"
    API_KEY_MISSING = "api_key_missing"
    API_KEY_INVALID = "invalid_api_key"
    API_KEY_EXPIRED = "api_key_expired"
    SCOPE_MISSING = "scope_missing"
    MODEL_FORBIDDEN = "model_forbidden"
    PROVIDER_FORBIDDEN = "provider_forbidden"
    PATH_UNKNOWN = "path_unknown"
    MODEL_UNKNOWN = "model_not_found"
    ADMIN_API_ELSEWHERE = "admin_api_elsewhere"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDEMPOTENCY_KEY_IN_USE = "idempotency_key_in_use"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    BODY_TIMEOUT = "body_timeout"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_BROKEN = "upstream_broken"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    NOT_READY = "not_ready"
    OVERLOADED = "overloaded"
    CREDENTIAL_UNAVAILABLE = "credential_unavailable"
    LOOP_DETECTED = "loop_detected"
    INTERNAL = "internal_error"


class Row(msgspec.Struct, frozen=True):
    status: int
    type: str
    """OpenAI's error type, which clients switch on."""
    retry_helps: bool = False
    """False becomes `x-should-retry: false`."""


_INVALID = Row(400, "invalid_request_error")

TABLE: dict[Code, Row] = {
    Code.HTTP_MALFORMED: _INVALID,
    Code.JSON_MALFORMED: _INVALID,
    Code.BODY_INVALID: _INVALID,
    Code.PARAMETER_UNSUPPORTED: _INVALID,
    Code.HEADER_INVALID: _INVALID,
    Code.CONFIG_INVALID: _INVALID,
    Code.CONTENT_TYPE_INVALID: _INVALID,
    Code.API_KEYS_CONFLICT: _INVALID,
    Code.SLUG_UNKNOWN: _INVALID,
    Code.PROVIDER_UNKNOWN: _INVALID,
    Code.PROVIDER_KEY_MISSING: _INVALID,
    Code.MODEL_MISSING: _INVALID,
    Code.MODEL_AMBIGUOUS: _INVALID,
    Code.TARGET_MISSING: _INVALID,
    Code.DOOR_UNSUPPORTED: _INVALID,
    Code.INLINE_CONFIG_BLOCKED: _INVALID,
    Code.INLINE_PROVIDER_BLOCKED: _INVALID,
    Code.INLINE_CUSTOM_HOST_BLOCKED: _INVALID,
    Code.INLINE_FORWARD_HEADERS_BLOCKED: _INVALID,
    Code.CUSTOM_HOST_FORBIDDEN: _INVALID,
    Code.API_KEY_MISSING: Row(401, "authentication_error"),
    Code.API_KEY_INVALID: Row(401, "authentication_error"),
    Code.API_KEY_EXPIRED: Row(401, "authentication_error"),
    Code.SCOPE_MISSING: Row(403, "permission_error"),
    Code.MODEL_FORBIDDEN: Row(403, "permission_error"),
    Code.PROVIDER_FORBIDDEN: Row(403, "permission_error"),
    Code.PATH_UNKNOWN: Row(404, "invalid_request_error"),
    Code.MODEL_UNKNOWN: Row(404, "invalid_request_error"),
    Code.ADMIN_API_ELSEWHERE: Row(404, "invalid_request_error"),
    Code.METHOD_NOT_ALLOWED: Row(405, "invalid_request_error"),
    Code.BODY_TIMEOUT: Row(408, "timeout_error", retry_helps=True),
    Code.REQUEST_TIMEOUT: Row(408, "timeout_error", retry_helps=True),
    Code.IDEMPOTENCY_KEY_IN_USE: Row(409, "invalid_request_error", retry_helps=True),
    Code.BODY_TOO_LARGE: Row(413, "invalid_request_error"),
    Code.IDEMPOTENCY_KEY_REUSED: Row(422, "invalid_request_error"),
    Code.UPSTREAM_UNREACHABLE: Row(502, "upstream_error", retry_helps=True),
    Code.UPSTREAM_BROKEN: Row(502, "upstream_error", retry_helps=True),
    Code.UPSTREAM_TIMEOUT: Row(504, "timeout_error", retry_helps=True),
    Code.NOT_READY: Row(503, "server_error", retry_helps=True),
    Code.OVERLOADED: Row(503, "server_error", retry_helps=True),
    Code.CREDENTIAL_UNAVAILABLE: Row(503, "server_error", retry_helps=True),
    Code.LOOP_DETECTED: Row(508, "invalid_request_error"),
    Code.INTERNAL: Row(500, "server_error", retry_helps=True),
}


class Fault(msgspec.Struct, frozen=True):
    """One of several things wrong in a config."""

    path: tuple[str | int, ...]
    message: str


class GatewayError(Exception):
    """An answer of the gateway's own making. `message` goes to the caller: what was wrong and what to do; no secret."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        """Where in the request: a body field's JSON pointer, or a header's name. Faults say it themselves."""
        self.retry_after_s = retry_after_s
        self.faults = faults

    @property
    def row(self) -> Row:
        return TABLE[self.code]
