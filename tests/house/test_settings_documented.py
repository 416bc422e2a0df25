"""Every setting of both planes stands in `docs/settings.md`, with its default, and nothing else does."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import control_plane.settings
import gateway.settings
from shared.settings import PREFIX

TEXT = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
PLANES: dict[str, type[BaseSettings]] = {
    "gateway": gateway.settings.Settings,
    "control plane": control_plane.settings.Settings,
}
ROW = re.compile(rf"^\| `{PREFIX}([A-Z_]+)` \| (.*?) \| (.+) \|$", re.MULTILINE)


def rows(plane: str) -> dict[str, str]:
    """Defaults by setting, from the plane's own section."""
    section = re.search(rf"^## The {plane}$(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None
    found = ROW.findall(section[1])
    assert all(meaning.strip() for _, _, meaning in found)
    return {name.lower(): default for name, default, _ in found}


def written(field: FieldInfo) -> str:
    """A default as the document writes it."""
    if field.is_required():
        return "required"
    default: Any = field.default
    if default is None or default == ():
        return ""
    assert not isinstance(default, SecretStr)
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


@pytest.mark.parametrize("plane", PLANES)
def test_every_setting_is_documented_with_its_default(plane: str) -> None:
    assert rows(plane) == {name: written(field) for name, field in PLANES[plane].model_fields.items()}


@pytest.mark.parametrize("plane", PLANES)
def test_a_unit_is_in_the_name_of_whatever_is_counted(plane: str) -> None:
    units = re.compile(r"(_s|_ms|_bytes_max|_max)$")
    defaults = {name: field.default for name, field in PLANES[plane].model_fields.items()}
    counted = {name for name, value in defaults.items() if isinstance(value, int | float) and value is not False}
    assert {name for name in counted if not units.search(name)} <= {"port", "metrics_port", "workers"}
