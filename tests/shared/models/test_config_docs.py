"""docs/routing.md lists every key of a config, word for word as the models say what it is; its examples are configs."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from shared.field_texts import field_texts
from shared.models.config import NOT_BUILT_YET, ConfigBody, parse_config
from shared.models.strategy import Cache, CircuitBreaker, Condition, Retry, Sticky, Strategy

DOCUMENT = Path(__file__).parents[3] / "docs" / "routing.md"
MODELS: dict[str, type[BaseModel]] = {
    "": ConfigBody,
    "strategy.": Strategy,
    "strategy.conditions[].": Condition,
    "strategy.sticky.": Sticky,
    "retry.": Retry,
    "cache.": Cache,
    "cb_config.": CircuitBreaker,
}


def rows() -> list[str]:
    return [
        f"| `{prefix}{name}` | {field_texts(model).get(name)} |"
        for prefix, model in MODELS.items()
        for name in model.model_fields
    ]


def examples() -> list[str]:
    return re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_every_key_has_its_row() -> None:
    table = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    missing = [row for row in rows() if row not in table]
    assert missing == [], "\n".join(missing)
    assert len([line for line in table if line in rows()]) == len(rows()), "a row too many, or twice"


def test_what_is_refused_is_named() -> None:
    text = DOCUMENT.read_text()
    assert [key for key in sorted(NOT_BUILT_YET) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("example", examples())
def test_every_example_is_a_config(example: str) -> None:
    parse_config(json.loads(example))


def test_there_are_examples() -> None:
    assert len(examples()) >= 5
