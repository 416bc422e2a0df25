"""Names of models that misbehave, and names that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.simulator.misbehaviour import PROPER, Behaviour, behaviour_of


@pytest.mark.parametrize(
    ("model", "behaviour"),
    [
        ("sim-chat", PROPER),
        ("sim-embed", PROPER),
        ("sim-error-503", Behaviour(error=503)),
        ("sim-html-502", Behaviour(html=502)),
        ("sim-slow-250", Behaviour(slow=250)),
        ("sim-drip-20", Behaviour(drip=20)),
        ("sim-cut-0", Behaviour(cut=0)),
        ("sim-stall-2", Behaviour(stall=2)),
        ("sim-long-900", Behaviour(long=900)),
        ("sim-errorevent-1", Behaviour(errorevent=1)),
        ("sim-silent", Behaviour(silent=True)),
        ("sim-bytes", Behaviour(bytes=True)),
        ("sim-badjson", Behaviour(badjson=True)),
        ("sim-slow-5-long-9-cut-3", Behaviour(slow=5, long=9, cut=3)),
    ],
)
def test_name_says_how_it_misbehaves(model: str, behaviour: Behaviour) -> None:
    assert behaviour_of(model) == behaviour


@pytest.mark.parametrize(
    "model",
    [
        *("", "sim", "sim-", "gpt-4o", "sim-chat-2", "xsim-silent", "sim-silent\n"),
        *("sim-error", "sim-error-200", "sim-error-700", "sim-silent-5"),
        *("sim-long-0", "sim-slow-999999", "sim-cut--1", "sim-cut-٣"),
    ],
)
def test_other_names_are_no_models(model: str) -> None:
    assert behaviour_of(model) is None


@given(st.text(max_size=30))
def test_any_name_is_read_without_a_fault(name: str) -> None:
    behaviour_of("sim-" + name)
