"""The document of what crosses the boundary is the models themselves, and every field in it is explained."""

from pathlib import Path

import orjson
import pytest

from shared import boundary
from shared.models.record import FIELDS, RECORD
from shared.protocol import batch, heartbeat

ROOT = Path(__file__).parents[2]


def test_the_document_is_what_the_models_say_now() -> None:
    written = (ROOT / "docs" / "boundary.md").read_text()
    assert written == boundary.document(), "run ./scripts/samples --write"


@pytest.mark.parametrize("message", boundary.messages(), ids=lambda message: message.path)
def test_every_field_is_explained(message: boundary.Message) -> None:
    assert [name for name, text in message.fields if len(text) < 4] == []
    assert len(dict(message.fields)) == len(message.fields)


def test_every_message_and_every_field_of_the_models_is_there() -> None:
    fields = {message.path: {name for name, _ in message.fields} for message in boundary.messages()}
    assert {f"rows[].{name}" for name in FIELDS} <= fields[batch.PATH]
    assert set(heartbeat.Heartbeat.model_fields) <= fields[heartbeat.HEARTBEAT_PATH]
    assert {"refused[].code", "have[].digest", "lease.payload"} <= fields[heartbeat.HEARTBEAT_PATH]


def test_the_sample_is_a_record() -> None:
    named = orjson.loads(boundary.sample())
    assert tuple(named) == FIELDS
    RECORD.validate_json(orjson.dumps(list(named.values())), strict=True)
