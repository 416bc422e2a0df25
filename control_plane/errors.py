"""What a request of the API can be refused for; `web/problem.py` makes problem documents (RFC 9457) of it.

Problem
├── Invalid           400  the request does not say what it must; `pointer` says where
├── Unauthenticated   401  nobody, or not anybody any more
├── Forbidden         403  somebody who may not
├── NotFound          404  not there, or not for this caller: the two look the same
├── MethodNotAllowed  405  the path is there, and takes other methods
├── TimedOut          408  it did not come whole in time
├── Conflict          409  it clashes with what is there
├── Changed           412  somebody else changed it since the caller read it
├── TooLarge          413
├── Unprocessable     422  it contradicts what was said before
├── TooMany           429  asked too often; `retry_after_s` says when to come again
└── Unavailable       503  a part of ours is away
"""


class Problem(Exception):
    """`detail` is for the caller and holds no secret. `pointer` is a JSON pointer into the body, or a query name."""

    status = 500
    code = "internal_error"
    retry_after_s: int | None = None
    """When the same may be asked again."""

    def __init__(self, detail: str, *, code: str | None = None, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.pointer = pointer
        self.extensions: dict[str, int] = {}
        """Further members of the problem document."""
        self.faults: tuple[tuple[str, str], ...] = ()
        """Pointer and detail of each, where several places are wrong at once."""


class Invalid(Problem):
    status = 400
    code = "invalid"


class Unauthenticated(Problem):
    status = 401
    code = "unauthenticated"


class Forbidden(Problem):
    status = 403
    code = "forbidden"


class NotFound(Problem):
    status = 404
    code = "not_found"


class MethodNotAllowed(Problem):
    status = 405
    code = "method_not_allowed"


class TimedOut(Problem):
    status = 408
    code = "body_timeout"


class Conflict(Problem):
    status = 409
    code = "conflict"


class Changed(Problem):
    status = 412
    code = "changed_meanwhile"


class TooLarge(Problem):
    status = 413
    code = "too_large"


class Unprocessable(Problem):
    status = 422
    code = "unprocessable"


class TooMany(Problem):
    status = 429
    code = "too_many_requests"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(Problem):
    status = 503
    code = "unavailable"
    retry_after_s = 5
