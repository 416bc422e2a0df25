"""What the provider refuses, in OpenAI's words: one body shape, one constructor for each reason."""

from typing import Any

import orjson


class Refused(Exception):
    """An answer that is not 2xx. `status` and `body` go on the wire as they are."""

    def __init__(self, status: int, message: str, *, type_: str, param: str | None, code: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, type_=type_, param=param, code=code)


def error_body(message: str, *, type_: str, param: str | None = None, code: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}})


def invalid(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Refused:
    return Refused(status, message, type_="invalid_request_error", param=param, code=code)


def missing(name: str) -> Refused:
    return invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def wrong_type(name: str, expected: str, value: Any) -> Refused:
    return invalid(
        f"Invalid type for '{name}': expected {expected}, but got {_kind(value)} instead.", name, "invalid_type"
    )


def out_of_range(name: str, low: float, high: float, value: float) -> Refused:
    return invalid(
        f"Invalid '{name}': expected a value from {low:g} to {high:g}, but got {value:g} instead.",
        name,
        "integer_below_min_value" if value < low else "integer_above_max_value",
    )


def not_json() -> Refused:
    return invalid(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
        "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
    )


def no_key() -> Refused:
    return invalid(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
        "auth (i.e. Authorization: Bearer YOUR_KEY).",
        status=401,
    )


def wrong_key() -> Refused:
    return invalid("Incorrect API key provided: ****.", code="invalid_api_key", status=401)


def no_model(model: str) -> Refused:
    return invalid(
        f"The model `{model}` does not exist or you do not have access to it.", None, "model_not_found", status=404
    )


def not_a_chat_model(model: str) -> Refused:
    return invalid(f"`{model}` is an embedding model and thus not supported here.", "model", status=404)


def no_such_url(method: str, path: str) -> Refused:
    return invalid(f"Invalid URL ({method} {path})", status=404)


def asked_for(status: int) -> Refused:
    """The error a caller ordered with `sim-error-<status>`, as OpenAI words that status."""
    kind, code, message = _ORDERED.get(status, ("server_error" if status >= 500 else "invalid_request_error", None, ""))
    return Refused(status, message or f"Simulated error {status}.", type_=kind, param=None, code=code)


_ORDERED: dict[int, tuple[str, str | None, str]] = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: ****."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again in 1s."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("service_unavailable_error", None, "The engine is currently overloaded, please try again later."),
}


def _kind(value: Any) -> str:
    return {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal number",
        list: "an array",
        dict: "an object",
        type(None): "null",
    }[type(value)]
