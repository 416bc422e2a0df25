"""A request that is not done, in ClickHouse's words: a code of its, that code's name, and what to do about it."""

import re

_TOLD = re.compile(r"Code: (\d+)\. DB::")


class Refusal(Exception):
    """Answered with `status`, `code` in a header and the text as body, which repeats nothing of the request's data."""

    def __init__(self, status: int, code: int, name: str, detail: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {detail} ({name})")
        self.status = status
        self.code = code


class EngineError(Exception):
    """What the engine said of a statement, whole, with its code."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        found = _TOLD.search(said)
        self.code = int(found[1]) if found else 1002


def unauthorised() -> Refusal:
    return Refusal(401, 516, "AUTHENTICATION_FAILED", "name and password are wanted, and these are not they")


def unknown_setting(name: str) -> Refusal:
    # `!a` keeps line ends and whatever else steers a terminal out of the answer.
    return Refusal(400, 115, "UNKNOWN_SETTING", f"{name[:100]!a} is no name of a setting: letters, digits, underscores")


def not_supported(what: str) -> Refusal:
    return Refusal(501, 48, "NOT_IMPLEMENTED", f"{what} not supported by the embedded engine's front")


def too_large(bytes_max: int) -> Refusal:
    return Refusal(413, 307, "TOO_MANY_BYTES", f"a request's body may have {bytes_max} bytes, also when decompressed")


def too_many() -> Refusal:
    return Refusal(503, 202, "TOO_MANY_SIMULTANEOUS_QUERIES", "too much is waiting here already; try again later")


def malformed(detail: str) -> Refusal:
    return Refusal(400, 36, "BAD_ARGUMENTS", detail)
