"""How callers of each door say who they are, and how each door refuses (pure): every dialect has manners of its own."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from embedded.simulator import errors
from embedded.simulator.errors import Refused
from shared.crypto.secret import Secret

ACCESS_KEY_ID = "AKIASIMULATOR"
"""Goes with the simulator's key as the secret one."""
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[a-z0-9-]+/[a-z0-9]+/aws4_request), "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_DEPLOYED = re.compile(r"/[a-z]+/deployments/")
_METHOD = re.compile(r"/v1/models/[^/:]+:[A-Za-z]+")
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_EXCEPTIONS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_WRONG_KEY = "API_KEY_INVALID"
_WRONG_KEY_DETAIL = orjson.loads(
    '{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}'
)
_RETRY_DETAIL = orjson.loads('{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}')


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of who sent it."""

    method: str
    target: str
    """As it came, encoded."""
    headers: Mapping[str, str]
    body_sha256: str


class Bearer:
    """A key behind the word Bearer, and OpenAI's errors."""

    needs_body = False
    """Whether who sent it can only be told with its body at hand."""
    says_when: Mapping[str, str] = {"retry-after": "1", "retry-after-ms": "1000"}
    """Headers that say when to come back; none where the body does."""

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        """Raises Refused."""
        given = shown.headers.get("authorization", "")
        if not given.startswith("Bearer "):
            raise errors.no_key()
        if key is not None and not key.matches(given.removeprefix("Bearer ").encode()):
            raise errors.wrong_key()

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        return refused.status, {}, refused.body


class Messages(Bearer):
    """A key in a header of its own or behind the word Bearer, beside the API's version."""

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        given = shown.headers.get("x-api-key") or shown.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise errors.invalid("x-api-key header is required", status=401)
        if key is not None and not key.matches(given.encode()):
            raise errors.invalid("invalid x-api-key", status=401)
        if "anthropic-version" not in shown.headers:
            raise errors.invalid("anthropic-version: header is required")

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        type_ = _TYPES.get(refused.status, "invalid_request_error" if refused.status < 500 else "api_error")
        body = {"type": "error", "error": {"type": type_, "message": str(refused)}, "request_id": "req_simulator"}
        return refused.status, {}, orjson.dumps(body)


class Signed(Bearer):
    """A signature over the request (AWS Signature Version 4), or a key behind the word Bearer."""

    needs_body = True

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        given = shown.headers.get("authorization", "")
        if given.startswith("Bearer "):
            super().authenticate(shown, key)
            return
        found = _SIGNED.fullmatch(given)
        if found is None:
            raise errors.invalid("Missing Authentication Token", status=403)
        id_, scope, names, signature = found.groups()
        if key is None:
            return
        if id_ != ACCESS_KEY_ID:
            raise errors.invalid("The security token included in the request is invalid.", status=403)
        if not {"host", "x-amz-date"} <= set(names.split(";")) or not hmac.compare_digest(
            signature, self._signature(shown, key, scope, names)
        ):
            raise errors.invalid(
                "The request signature we calculated does not match the signature you provided.", status=403
            )

    @staticmethod
    def _signature(shown: Shown, key: Secret, scope: str, names: str) -> str:
        path, _, query = shown.target.partition("?")
        lines = "".join(f"{name}:{' '.join(shown.headers.get(name, '').split())}\n" for name in names.split(";"))
        asked = f"{shown.method}\n{quote(path, safe='/~')}\n{query}\n{lines}\n{names}\n{shown.body_sha256}"
        stamp = shown.headers.get("x-amz-date", "")
        digest = hashlib.sha256(asked.encode()).hexdigest()
        signing = b"AWS4" + key.reveal()
        for part in scope.split("/"):
            signing = hmac.digest(signing, part.encode(), "sha256")
        return hmac.digest(signing, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        kind = _EXCEPTIONS.get(
            refused.status, "ValidationException" if refused.status < 500 else "InternalServerException"
        )
        headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.coral.service/"}
        return refused.status, headers, orjson.dumps({"message": str(refused)})


class Keyless(Bearer):
    """Whoever reaches it may call; errors are a sentence."""

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        pass

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        return refused.status, {}, orjson.dumps({"error": str(refused)})


class Chunked(Bearer):
    """A key behind the word Bearer; errors are flat, and those of fields a list of them."""

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        error = orjson.loads(refused.body)["error"]
        if refused.status == 401:
            return 401, {}, orjson.dumps({"message": "Unauthorized", "request_id": "req_simulator"})
        if refused.status == 422:
            place = ["body", *str(error["param"]).split("/")]
            found = [{"type": "value_error", "loc": place, "msg": str(refused), "input": None}]
            return 422, {}, orjson.dumps({"object": "error", "message": {"detail": found}, "type": error["type"]})
        return refused.status, {}, orjson.dumps({"object": "error", **error, "raw_status_code": refused.status})


class Contents(Bearer):
    """A key in a header of its own or behind the word Bearer; errors have a status in words, and details."""

    says_when: Mapping[str, str] = {}

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        named = shown.headers.get("x-goog-api-key")
        given = named or shown.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise errors.invalid("Method doesn't allow unregistered callers. Please use API Key.", status=403)
        if key is None or key.matches(given.encode()):
            return
        if named:
            raise errors.invalid("API key not valid. Please pass a valid API key.", code=_WRONG_KEY)
        raise errors.invalid("Request had invalid authentication credentials.", status=401)

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        word = _STATUSES.get(refused.status, "INVALID_ARGUMENT" if refused.status < 500 else "INTERNAL")
        error: dict[str, object] = {"code": refused.status, "message": str(refused), "status": word}
        if orjson.loads(refused.body)["error"]["code"] == _WRONG_KEY:
            error["details"] = [_WRONG_KEY_DETAIL]
        elif refused.status == 429:
            error["details"] = [_RETRY_DETAIL]
        return refused.status, {}, orjson.dumps({"error": error})


class Published(Contents):
    """The same at the door, and behind it the errors of messages."""

    says_when = Bearer.says_when

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        return super().refusal(refused) if refused.status in (401, 403) else MESSAGES.refusal(refused)


class Second(Bearer):
    """A key behind the word Bearer; errors are an id and a sentence."""

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        given = shown.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise errors.invalid("no api key supplied", status=401)
        if key is not None and not key.matches(given.encode()):
            raise errors.invalid("invalid api token", status=401)

    def refusal(self, refused: Refused) -> tuple[int, Mapping[str, str], bytes]:
        return refused.status, {}, orjson.dumps({"id": "simulator", "message": str(refused)})


class Deployed(Bearer):
    """A key in a header of its own or behind the word Bearer, and the version of the API; OpenAI's errors."""

    def authenticate(self, shown: Shown, key: Secret | None) -> None:
        given = shown.headers.get("api-key") or shown.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or (key is not None and not key.matches(given.encode())):
            message = "Access denied due to invalid subscription key or wrong API endpoint."
            raise errors.invalid(message, code="401", status=401)
        if "api-version=" not in shown.target.partition("?")[2]:
            raise errors.invalid("Resource not found", code="404", status=404)


BEARER, MESSAGES, SIGNED, KEYLESS, CHUNKED = Bearer(), Messages(), Signed(), Keyless(), Chunked()
CONTENTS, PUBLISHED, SECOND, DEPLOYED = Contents(), Published(), Second(), Deployed()


def of(path: str) -> Bearer:
    """The manners of the door at a path."""
    if path.startswith("/model/"):
        return SIGNED
    if _DEPLOYED.match(path):
        return DEPLOYED
    if path.startswith("/api/"):
        return KEYLESS
    if path.startswith("/chunked/"):
        return CHUNKED
    if path.startswith("/v2/"):
        return SECOND
    if path.startswith(("/v1beta/", "/v1/projects/", "/v1beta1/projects/")) or _METHOD.fullmatch(path):
        return PUBLISHED if path.lower().endswith("rawpredict") else CONTENTS
    return MESSAGES if path.startswith("/v1/messages") else BEARER
