"""Values both planes' settings share: what is taken, and that a fault names the variable and hides the value."""

import pytest
from pydantic import BaseModel, ValidationError

from shared.settings import LogLevel, Origin, Seconds, faults


class Desk(BaseModel):
    url: Origin = "http://house.test"
    wait_s: Seconds = 1.0
    log_level: LogLevel = "info"


def wrong(**values: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Desk.model_validate(values)
    return faults(caught.value)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://house.example/", "https://house.example"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_is_a_scheme_a_host_and_a_port(text: str, origin: str) -> None:
    assert Desk(url=text).url == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8080",
        "house.example",
        "ftp://house.example",
        "http://",
        "http://:8080",
        "http://house.example:port",
        "http://house.example:99999",
        "http://house.example:0",
        "http://house.example/api",
        "http://house.example?",
        "http://house.example/#",
        "http://house .example",
        "http://house\n.example",
        "http://role:MARKER@house.example",
    ],
)
def test_another_address_is_refused_without_being_shown(text: str) -> None:
    (line,) = wrong(url=text)
    assert line.startswith("GATEHOUSE_URL: a scheme, a host and a port are wanted")
    assert "MARKER" not in line


@pytest.mark.parametrize("wait_s", ["0", "-1", "nan", "inf", "soon"])
def test_a_wait_is_some_seconds(wait_s: str) -> None:
    (line,) = wrong(wait_s=wait_s)
    assert line.startswith("GATEHOUSE_WAIT_S: ")


def test_a_level_is_written_in_any_case_and_an_unknown_one_is_refused() -> None:
    assert Desk(log_level="DEBUG").log_level == "debug"  # type: ignore[arg-type]
    assert wrong(log_level="verbose") == ["GATEHOUSE_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"]


def test_each_fault_has_its_line() -> None:
    assert [line.partition(":")[0] for line in wrong(url="x", wait_s=0)] == ["GATEHOUSE_URL", "GATEHOUSE_WAIT_S"]
