"""The allow-list of a record: documented field by field, and nothing passes that is not in it."""

import pytest
from pydantic import ValidationError

from shared.models import record
from shared.models.record import FIELDS, RECORD, Record
from tests.fixtures.records import a_record


def test_every_field_is_documented() -> None:
    described = record.described()
    assert tuple(described) == FIELDS
    assert [name for name, text in described.items() if len(text) < 15] == []


@pytest.mark.parametrize("ending", ["_us", "_ms", "_s", "_bytes", "_tokens", "_picousd", "_count"])
def test_what_is_counted_says_its_unit_in_its_name(ending: str) -> None:
    assert any(name.endswith(ending) for name in FIELDS)


def test_numbers_without_a_unit_in_their_name_are_no_amounts() -> None:
    numbers = {name for name, value in a_record()._asdict().items() if type(value) is int}
    units = ("_us", "_ms", "_s", "_bytes", "_tokens", "_picousd", "_count")
    assert {name for name in numbers if not name.endswith(units)} == {
        "lease", "config_revision", "status", "provider_status",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "lg_1"),
        ("mode", "full"),
        ("workspace", "ws 1"),
        ("door", "/v1/chat"),
        ("stream", 1),
        ("model", "please tell me\nabout my illness"),
        ("model", "x" * 201),
        ("target", "config.targets[0].prompt"),
        ("status", 99),
        ("ending", "It broke: secret"),
        ("error", "Incorrect API key provided: sk-1"),
        ("input_tokens", -1),
        ("cost_picousd", 0.5),
        ("user", "alice@example.com"),
        ("metadata", {"team": "x" * 129}),
        ("metadata", {"team": ["search"]}),
        ("trace_id", "who asks: Alice"),
        ("attempts", [("config", "openai", None, None, 200, "boom at line 3", 0, 1)]),
    ],
)
def test_what_is_no_id_word_count_or_time_is_refused(field: str, value: object) -> None:
    values = a_record()._replace(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        RECORD.validate_python(values, strict=True)


def test_a_whole_record_passes_and_comes_back_the_same() -> None:
    passed = RECORD.validate_python(a_record(5), strict=True)
    assert isinstance(passed, Record)
    assert passed == a_record(5)
