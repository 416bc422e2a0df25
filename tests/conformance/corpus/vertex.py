"""Vertex AI's wire: Gemini's with embeddings of its own. Messages there: tests/gateway/providers/test_vertex.py."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.providers.registry import adapters, built_in_rows
from gateway.providers.vertex.account import AccountToken
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from tests.conformance.corpus import gemini

KEY = AccountToken(project="p", location="us-east5", token=Secret("t"))


class _Embeddings:
    model = "embed-1"
    cannot: Mapping[str, str] = {"tokens": "/input"}

    def validate(self, sent: dict[str, Any]) -> None:
        assert sent.keys() <= {"instances", "parameters"}
        assert all(instance.keys() <= {"content", "task_type", "title"} for instance in sent["instances"])

    def answer(self, sent: dict[str, Any]) -> bytes:
        counts = [7, *(0 for _ in sent["instances"][1:])]
        vectors = [{"embeddings": {"values": [0.5, -0.25, 1.0], "statistics": {"token_count": n}}} for n in counts]
        return orjson.dumps({"predictions": vectors})


WIRE = replace(
    gemini.WIRE,
    name="vertex",
    adapter=adapters()["vertex"],
    place=place_of(built_in_rows()["vertex-ai"]),
    key=KEY,
    embeddings=_Embeddings(),
)
