"""The local stack's TOML says what went in, whatever characters a key has."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from embedded import local_file
from embedded.provider_keys import ProviderKey
from shared.crypto.secret import Secret

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(PRINTABLE, PRINTABLE)
def test_keys_come_out_as_they_went_in(simulator_key: str, provider_key: str) -> None:
    text = local_file.text(
        simulator_url="http://127.0.0.1:1",
        simulator_key=Secret(simulator_key),
        api_key=Secret("gh_x"),
        provider_keys=[ProviderKey("OPENAI_API_KEY", "openai", Secret(provider_key), "m")],
    )
    (workspace,) = tomllib.loads(text)["workspaces"]
    credentials = {key["slug"]: key["credential"] for key in workspace["virtual_keys"]}
    assert credentials == {"simulator": {"api_key": simulator_key}, "openai": {"api_key": provider_key}}


def test_workspace_points_at_the_simulator_by_default() -> None:
    text = local_file.text(
        simulator_url="http://127.0.0.1:9", simulator_key=Secret("s"), api_key=Secret("gh_x"), provider_keys=()
    )
    parsed = tomllib.loads(text)
    (workspace,) = parsed["workspaces"]
    (api_key,) = workspace["api_keys"]
    (config,) = workspace["configs"]
    assert api_key["default_config"] == config["slug"]
    assert config["body"] == {"virtual_key": "simulator"}
    assert parsed["providers"][0]["base_url"] == "http://127.0.0.1:9/v1"
    assert {model["name"] for model in parsed["models"]} == {"sim-chat", "sim-embed"}
