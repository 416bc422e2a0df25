"""The form of what both planes log: one JSON object a line, ours and the libraries' alike."""

import logging
from contextlib import suppress
from typing import TextIO, cast

import structlog

from shared.settings import LogLevel


def set_up(level: LogLevel, out: TextIO) -> None:
    """For this process and those it forks. Libraries are heard from `warning` on."""
    out = cast(TextIO, Lenient(out))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.WARNING), format="%(message)s", stream=out)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )


class Lenient:
    """A stream whose faults are nobody's: a full disk takes away the log, not the call that was to be told of."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._out.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._out.flush()
