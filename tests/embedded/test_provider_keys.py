"""Provider keys out of the environment: found by name, told without their value, served by the gateway."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from embedded import provider_keys
from gateway.providers.registry import built_in_rows

SECRET = "sk-marker-Zq81"


def test_found_key_becomes_a_virtual_key_and_its_value_is_not_told() -> None:
    found = provider_keys.find({"OPENAI_API_KEY": f" {SECRET}\n", "PATH": "/bin"})
    assert [(key.provider, key.key.reveal_text()) for key in found.keys] == [("openai", SECRET)]
    assert found.notes == ['OPENAI_API_KEY found: virtual key "openai" made of it']
    assert SECRET not in repr(found)


def test_nothing_is_said_of_what_is_absent_or_empty() -> None:
    assert provider_keys.find({"OPENAI_API_KEY": " "}).notes == []


def test_every_provider_in_the_table_is_one_the_gateway_serves() -> None:
    every = provider_keys.find(dict.fromkeys(tomllib.loads(provider_keys.TABLE.read_text()), SECRET))
    assert {key.provider for key in every.keys} <= set(built_in_rows())
    assert len(every.keys) > 5


@given(st.text(max_size=40))
def test_any_value_is_taken_as_a_header_could_carry_it_or_left_alone(value: str) -> None:
    found = provider_keys.find({"OPENAI_API_KEY": value})
    for key in found.keys:
        assert key.key.reveal_text() == value.strip()
        assert all("!" <= character <= "~" for character in key.key.reveal_text())
    assert len(found.notes) == bool(value.strip())
