"""What every adapter builds on: addresses with places for a credential's words, headers that every request has."""

import pytest
from msgspec.structs import replace

from gateway.dialects.passed import AsItCame
from gateway.providers.base import Call, Door, Passage, Untranslatable, address, key_of, request_headers
from gateway.providers.openai.provider import OpenAI
from gateway.providers.registry import built_in_rows
from gateway.upstream.messages import Origin
from gateway.view.plan import place_at, place_of
from shared.crypto.secret import Secret
from shared.models.credential import AccountForm, ApiKeyForm, AwsForm, Form, OptionalApiKeyForm, WorkspaceForm
from shared.models.provider import Provider
from tests.gateway.dialects.chats import PLACE

ROW = Provider(id="acme", name="Acme", base_url="https://api.{region}.acme.test/v1/{region}/", headers={"x-v": "2"})
AWS = AwsForm(region="eu-west-1", api_key="k")  # type: ignore[arg-type]


def test_words_of_the_credential_stand_in_the_address() -> None:
    place = place_of(ROW)
    assert address(place, AWS) == (Origin("https", "api.eu-west-1.acme.test", 443), "/v1/eu-west-1")
    assert address(place_at(place, "http://own.test/x"), AWS) == (None, "/x")


@pytest.mark.parametrize("key", [None, Secret("k")])
def test_an_address_that_is_not_whole_is_called_by_nobody(key: Secret | None) -> None:
    with pytest.raises(Untranslatable, match="region"):
        address(place_of(ROW), key)


@pytest.mark.parametrize("base_url", ["https://{Region}.acme.test", "https://{}.acme.test", "https://{a}{b.test"])
def test_a_template_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="braces"):
        place_of(Provider(id="acme", name="Acme", base_url=base_url))


def test_the_place_s_headers_go_along_unless_the_caller_brings_its_own() -> None:
    place = place_of(ROW)
    call = Call(Door.CHAT, b"", {}, stream=False)
    assert b"\r\nx-v: 2\r\n" in request_headers(call, place, None)
    own = request_headers(replace(call, forwarded=b"x-v: 3\r\n"), place, None)
    assert b"\r\nx-v: 3\r\n" in own
    assert b"x-v: 2" not in own


def test_a_form_that_is_one_key_is_that_key() -> None:
    key = key_of(ApiKeyForm(api_key="k"))  # type: ignore[arg-type]
    assert isinstance(key, Secret)
    assert key.reveal() == b"k"
    assert key_of(OptionalApiKeyForm()) is None
    assert key_of(AWS) is AWS
    assert request_headers(Call(Door.CHAT, b"", {}, stream=False), PLACE, AWS).endswith(b": Bearer k\r\n")


ACCOUNT = AccountForm(account="a1-b_2", api_key="k")  # type: ignore[arg-type]
WORKSPACE = WorkspaceForm(host="dbc-1.cloud.databricks.test", api_key="k")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "key", "host", "target"),
    [
        ("workers-ai", ACCOUNT, "api.cloudflare.com", "/client/v4/accounts/a1-b_2/ai/v1/chat/completions"),
        ("cortex", ACCOUNT, "a1-b_2.snowflakecomputing.com", "/api/v2/cortex/v1/chat/completions"),
        ("databricks", WORKSPACE, "dbc-1.cloud.databricks.test", "/serving-endpoints/chat/completions"),
    ],
)
def test_a_key_with_the_account_in_its_host_s_address(provider: str, key: Form, host: str, target: str) -> None:
    place = place_of(built_in_rows()[provider])
    body = {"model": "m", "messages": []}
    asked = OpenAI().request(Call(Door.CHAT, b"{}", body, stream=False), place, key, {}, "m")
    assert (asked.origin, asked.target) == (Origin("https", host, 443), target)
    assert b"\r\nauthorization: Bearer k\r\n" in asked.headers
    passage = Passage(Door.FILES, "GET", "/v1/files")
    passed = AsItCame(OpenAI()).request(Call(Door.FILES, b"", {}, stream=False, passage=passage), place, key, {}, "")
    assert (passed.origin, passed.target) == (asked.origin, target.replace("chat/completions", "files"))
    assert b"authorization: Bearer k\r\n" in passed.headers


@pytest.mark.parametrize("word", ["a/b", "evil.test/", "a b", "", "a@b", "-a", "a?b"])
def test_a_word_of_an_address_makes_no_other_address(word: str) -> None:
    with pytest.raises(ValueError, match="account"):
        AccountForm(account=word, api_key="k")  # type: ignore[arg-type]
