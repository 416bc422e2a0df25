"""OpenAI's dialect at a resource of Azure: both APIs, a key or an Entra tenant's token."""

from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from pydantic import ValidationError

from gateway.providers.azure.entra import EntraToken
from gateway.providers.azure.provider import Azure
from gateway.providers.base import Call, Door, GrantRefused, ProviderKey, Translated
from gateway.providers.registry import built_in_rows
from gateway.view.plan import place_at, place_of
from shared.crypto.secret import Secret
from shared.models.credential import EntraForm

PLACE = place_of(built_in_rows()["azure-openai"])
APPLICATION = {"resource": "r", "tenant_id": "t-1", "client_id": "c-1", "client_secret": "s&1"}


def form(**fields: Any) -> EntraForm:
    return EntraForm.model_validate({"resource": "r", "api_key": "k", **fields})


def sent(key: ProviderKey, place: Any = PLACE, door: Door = Door.CHAT) -> Translated:
    body = {"model": "gpt", "messages": []}
    return Azure().request(Call(door, orjson.dumps(body), body, stream=False), place, key, {}, "my gpt")


def test_the_newer_api_is_told_the_deployment_in_the_body() -> None:
    asked = sent(form())
    assert asked.origin is not None
    assert (asked.origin.host, asked.target) == ("r.openai.azure.com", "/openai/v1/chat/completions")
    assert orjson.loads(asked.body)["model"] == "my gpt"
    assert b"api-key: k\r\n" in asked.headers
    assert b"authorization" not in asked.headers
    assert sent(form(), door=Door.EMBEDDINGS).target == "/openai/v1/embeddings"


def test_the_older_api_has_the_deployment_and_its_version_in_the_path() -> None:
    asked = sent(form(api_version="2024-10-21"))
    assert asked.target == "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"


def test_a_host_of_the_caller_s_own_says_the_whole_way() -> None:
    asked = sent(form(), place_at(PLACE, "https://proxy.test/azure/v1"))
    assert (asked.origin, asked.target) == (None, "/azure/v1/chat/completions")


def test_a_row_of_one_s_own_whose_address_is_put_together_otherwise_says_the_whole_way() -> None:
    """Every call to it was a fault of the gateway's."""
    row = built_in_rows()["azure-openai"].model_copy(update={"base_url": "https://{resource}.azure-api.net/llm"})
    for key in (form(), form(api_version="2024-10-21")):
        asked = sent(key, place_of(row))
        assert asked.origin is not None
        assert (asked.origin.host, asked.target) == ("r.azure-api.net", "/llm/chat/completions")
        assert b"api-key: k\r\n" in asked.headers


def test_an_application_s_secret_becomes_a_token_and_stays_home() -> None:
    application = EntraForm.model_validate(APPLICATION)
    exchange = Azure().exchange(application)
    assert exchange is not None
    asked = exchange.request(0)
    assert asked.origin is not None
    assert (asked.origin.host, asked.target) == ("login.microsoftonline.com", "/t-1/oauth2/v2.0/token")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["c-1"],
        "client_secret": ["s&1"],
        "scope": ["https://cognitiveservices.azure.com/.default"],
    }
    granted = exchange.grant(200, b'{"access_token":"sesame","expires_in":3599}', 1_000)
    assert granted.expires_at_ms == 3_600_000
    assert isinstance(granted.key, EntraToken)
    headers = sent(granted.key).headers
    assert b"authorization: Bearer sesame\r\n" in headers
    assert b"api-key" not in headers
    assert "sesame" not in repr(granted)
    assert Azure().exchange(form()) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, b'{"error":"invalid_client"}'), (500, b"<html>"), (200, b"[]"), (200, b'{"access_token":"t"}')],
)
def test_what_is_no_token_grants_nothing(status: int, body: bytes) -> None:
    exchange = Azure().exchange(EntraForm.model_validate(APPLICATION))
    assert exchange is not None
    with pytest.raises(GrantRefused):
        exchange.grant(status, body, 0)


@pytest.mark.parametrize(
    "fields",
    [{"resource": "r"}, {**APPLICATION, "api_key": "k"}, {"resource": "r", "client_id": "c"}, {"api_key": "k"}],
)
def test_a_credential_is_a_key_or_an_application(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EntraForm.model_validate(fields)


def test_a_key_alone_is_asked_for_its_resource() -> None:
    with pytest.raises(ValueError, match="resource"):
        sent(Secret("k"))
