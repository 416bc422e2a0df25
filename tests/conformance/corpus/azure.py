"""Azure's wire is OpenAI's: what differs is where it goes and who says so (tests/gateway/providers/test_azure.py)."""

from dataclasses import replace

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.models.credential import EntraForm
from tests.conformance.corpus import openai

WIRE = replace(
    openai.WIRE,
    name="azure",
    adapter=adapters()["azure"],
    place=place_of(built_in_rows()["azure-openai"]),
    key=EntraForm.model_validate({"resource": "r", "api_key": "k"}),
)
