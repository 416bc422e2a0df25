"""The file a person writes: taken as it stands, each fault named with its path, no secret told."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from control_plane.snapshots import content, toml_file
from control_plane.snapshots.errors import BuildError
from shared.crypto import api_keys
from shared.crypto.secret import Secret

HASH_KEY = Secret(b"h" * 32)
KEY = api_keys.new_api_key().reveal_text()
OTHER_KEY = api_keys.new_api_key().reveal_text()

WHOLE = f"""
gateway = "gw_local"
[organisation]
id = "org_local"
name = "Local"
[[providers]]
id = "simulator"
name = "Simulator"
base_url = "http://127.0.0.1:18787/v1/"
[[models]]
provider = "simulator"
name = "sim-chat"
[[models]]
provider = "simulator"
name = "sim-embed"
type = "embedding"
[[prices]]
id = "pr_1"
provider = "simulator"
model = "sim-chat"
valid_from = 2026-01-01
amounts = {{ input_usd_per_mtok = "0.15", output_usd_per_mtok = "0.6" }}
[[prices]]
id = "pr_2"
provider = "simulator"
valid_from = "2026-01-01"
multiplier = "0.85"
[[workspaces]]
id = "ws_local"
slug = "local"
name = "Local"
default_config = "default"
allowed_providers = ["simulator"]
inline = {{ keys = false, configs = true, hosts = false }}
model_aliases.fast = {{ virtual_key = "sim", model = "sim-chat" }}
[[workspaces.api_keys]]
id = "ak_1"
name = "first"
key = "{KEY}"
scopes = ["completions.write", "explain"]
default_config = "default"
expires_at = 2031-01-01T00:00:00Z
[[workspaces.virtual_keys]]
slug = "sim"
name = "Simulator"
provider = "simulator"
credential = {{ api_key = "sk-MARKER" }}
[[workspaces.configs]]
slug = "default"
name = "Default"
body = {{ virtual_key = "sim", override_params = {{ temperature = 0.5 }} }}
"""


def build(tmp_path: Path, text: str) -> content.Content:
    path = tmp_path / "snapshot.toml"
    path.write_text(text)
    made = toml_file.read(path).content(HASH_KEY)
    content.check(made)
    return made


def test_the_whole_file_becomes_nouns(tmp_path: Path) -> None:
    made = build(tmp_path, WHOLE)
    assert made.gateway == "gw_local"
    assert made.providers[0].base_url == "http://127.0.0.1:18787/v1"
    assert [(model.id, model.type) for model in made.models] == [
        ("simulator/sim-chat", "chat"),
        ("simulator/sim-embed", "embedding"),
    ]
    assert [(price.id, price.model, price.valid_from, price.multiplier) for price in made.prices] == [
        ("pr_1", "sim-chat", date(2026, 1, 1), None),
        ("pr_2", None, date(2026, 1, 1), "0.85"),
    ]
    (workspace,) = made.workspaces
    assert workspace.workspace.inline.model_dump() == {"keys": False, "configs": True, "hosts": False}
    assert workspace.workspace.model_aliases["fast"].model == "sim-chat"
    (key,) = workspace.api_keys
    assert key.scopes == ("completions.write", "explain")
    assert key.expires_at_ms == datetime(2031, 1, 1, tzinfo=UTC).timestamp() * 1000
    (virtual_key,) = workspace.virtual_keys
    assert (virtual_key.noun.id, virtual_key.noun.credential) == ("ws_local/sim", "")
    assert virtual_key.credential.matches(b'{"api_key":"sk-MARKER"}')
    assert workspace.configs[0].body["override_params"] == {"temperature": 0.5}


def test_only_the_keyed_hash_of_an_api_key_is_kept(tmp_path: Path) -> None:
    """GHS/1 9.2."""
    made = build(tmp_path, WHOLE)
    assert made.workspaces[0].api_keys[0].hash == api_keys.keyed_hash(HASH_KEY, KEY).hex()
    assert KEY not in repr(made)


def test_secrets_do_not_show_in_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.toml"
    path.write_text(WHOLE)
    shown = repr(toml_file.read(path))
    assert KEY not in shown
    assert "MARKER" not in shown


SECOND_KEY = f'[[workspaces.api_keys]]\nid = "ak_2"\nname = "second"\nkey = "{OTHER_KEY}"\n[[workspaces.virtual_keys]]'

FAULTS = {
    "unknown field": ('slug = "sim"', 'slug = "sim"\ncolour = "red"', "workspaces[0].virtual_keys[0].colour"),
    "missing field": ('name = "Simulator"\nbase_url', "base_url", "providers[0].name"),
    "unknown field of a provider": ('id = "simulator"', 'id = "simulator"\nbaseurl = ""', "providers[0].baseurl"),
    "bad url": ("http://127.0.0.1:18787/v1/", "not a url", "providers[0].base_url"),
    "bad type of a model": ('"embedding"', '"video"', "models[1].type"),
    "bad amount": ('"0.15"', "0.15", "prices[0].amounts.input_usd_per_mtok"),
    "unknown amount": ("input_usd_per_mtok", "input_per_mtok", "prices[0].amounts.input_per_mtok"),
    "price that says nothing": ('multiplier = "0.85"', "", "prices[1]"),
    "price twice": ('id = "pr_2"', 'id = "pr_1"', "prices[1].id"),
    "two prices for the same": (
        'valid_from = "2026-01-01"',
        'model = "sim-chat"\nvalid_from = "2026-01-01"',
        "prices[1]",
    ),
    "bad slug": ('slug = "local"', 'slug = "lo cal"', "workspaces[0].slug"),
    "half an inline": ("{ keys = false, configs = true, hosts = false }", "{ keys = false }", "workspaces[0]"),
    "key with a typing fault": (KEY, KEY[:20] + KEY[21] + KEY[20] + "0" + KEY[23:], "workspaces[0].api_keys[0].key"),
    "key that is a number": (f'"{KEY}"', "17", "workspaces[0].api_keys[0].key"),
    "local time": ("2031-01-01T00:00:00Z", "2031-01-01T00:00:00", "workspaces[0].api_keys[0].expires_at"),
    "empty credential": ('"sk-MARKER"', '""', "workspaces[0].virtual_keys[0].credential.api_key"),
    "date in a config": ("temperature = 0.5", "temperature = 2031-01-01", "workspaces[0].configs[0].body"),
    "nan in a config": ("temperature = 0.5", "temperature = nan", "workspaces[0].configs[0].body"),
    "unknown mode": (
        'body = { virtual_key = "sim"',
        'body = { strategy = { mode = "x" }, targets = [{}]',
        "workspaces[0].configs[0].body.strategy.mode",
    ),
    "default config of the workspace": (
        'default_config = "default"\nallowed',
        'default_config = "nope"\nallowed',
        "workspaces[0].default_config",
    ),
    "default config of a key": (
        'default_config = "default"\nexpires',
        'default_config = "nope"\nexpires',
        "workspaces[0].api_keys[0].default_config",
    ),
    "alias": (
        'fast = { virtual_key = "sim"',
        'fast = { virtual_key = "nope"',
        "workspaces[0].model_aliases.fast.virtual_key",
    ),
    "virtual key of a config": (
        'body = { virtual_key = "sim"',
        'body = { virtual_key = "nope"',
        "workspaces[0].configs[0].body.virtual_key",
    ),
    "virtual key by provider": (
        'body = { virtual_key = "sim"',
        'body = { provider = "@nope"',
        "workspaces[0].configs[0].body.provider",
    ),
    "virtual key of a target": (
        'body = { virtual_key = "sim"',
        'body = { targets = [{ virtual_key = "sim" }, { virtual_key = "nope" }]',
        "workspaces[0].configs[0].body.targets[1].virtual_key",
    ),
    "provider twice": (
        '[[models]]\nprovider = "simulator"\nname = "sim-chat"',
        '[[providers]]\nid = "simulator"\nname = "S"\nbase_url = "http://a"',
        "providers[1].id",
    ),
    "model twice": ('name = "sim-embed"', 'name = "sim-chat"', "models[1].name"),
    "key twice": ("[[workspaces.virtual_keys]]", SECOND_KEY.replace(OTHER_KEY, KEY), "workspaces[0].api_keys[1].key"),
    "key id twice": ("[[workspaces.virtual_keys]]", SECOND_KEY.replace("ak_2", "ak_1"), "workspaces[0].api_keys[1].id"),
    "no TOML": ("gateway =", "gateway", "snapshot.toml"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_path_and_tells_no_secret(tmp_path: Path, fault: str) -> None:
    """GHS/1 7.6."""
    right, wrong, where = FAULTS[fault]
    assert WHOLE.count(right) >= 1
    with pytest.raises(BuildError) as error:
        build(tmp_path, WHOLE.replace(right, wrong, 1))
    assert error.value.where.endswith(where)
    assert "\n" not in str(error.value)
    for secret in (KEY, "MARKER", KEY[3:30]):
        assert secret not in str(error.value)


def test_a_second_key_is_fine(tmp_path: Path) -> None:
    """The twin of the two faults above."""
    assert len(build(tmp_path, WHOLE.replace("[[workspaces.virtual_keys]]", SECOND_KEY, 1)).workspaces[0].api_keys) == 2


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="bytes"):
        build(tmp_path, "#" * (toml_file.FILE_BYTES_MAX + 1))
