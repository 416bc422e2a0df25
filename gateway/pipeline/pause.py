"""How long to wait before a retry (pure): as the provider says, else longer each time and never two callers alike."""

import random
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from gateway.view.route import Retry

BASE_S = 1.0
"""Before the first retry at most; twice as much before each further one."""
PAUSES_S_MAX = 60.0
"""One pause, and all of a target together, are shorter; else there is no retry."""

_TOO_MANY = 429
_IN_MS = ("retry-after-ms", "x-ms-retry-after-ms", "x-amz-retry-after")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_DATE_CHARS_MAX = 64


def pause_s(retries: int, retry: Retry, status: int | None, told_s: float | None, chance: random.Random) -> float:
    """Seconds until the next attempt, after so many retries; `status` None: nobody answered. `told_s`: its own word."""
    if retry.heeds_retry_after and status == _TOO_MANY and told_s is not None:
        return told_s
    return chance.uniform(0.0, BASE_S * (1 << retries))


def retry_after_s(headers: Mapping[str, str], wall_ms: int) -> float | None:
    """When an answer's head says to ask again: in milliseconds, in seconds, or as a date; None: it does not say."""
    for name in _IN_MS:
        text = headers.get(name, "").strip()
        if _NUMBER.fullmatch(text):
            return float(text) / 1_000
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    at_ms = _date_ms(text)
    return None if at_ms is None else max(at_ms - wall_ms, 0) / 1_000


def _date_ms(text: str) -> int | None:
    if not text or len(text) > _DATE_CHARS_MAX:
        return None
    try:
        date = parsedate_to_datetime(text)
        return round((date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, TypeError, OverflowError):
        return None
