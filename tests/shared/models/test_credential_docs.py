"""What `docs/credentials.md` shows is what the forms take."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.providers.registry import built_in_rows
from shared.models.credential import FORMS

TEXT = (Path(__file__).parents[3] / "docs" / "credentials.md").read_text()
SHOWN = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def test_every_form_of_a_provider_s_own_is_shown() -> None:
    assert {built_in_rows()[shown["provider"]].credential for shown in SHOWN} >= {
        "api_key",
        "aws",
        "service_account",
        "entra",
    }


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown['provider']}: {', '.join(shown['credential'])}")
def test_what_is_shown_is_taken(shown: dict[str, Any]) -> None:
    # An ellipsis stands for what nobody should copy.
    credential = {name: value.replace("…", "x") for name, value in shown["credential"].items()}
    FORMS[built_in_rows()[shown["provider"]].credential].model_validate(credential)
