"""What every adapter builds on: addresses with places for a credential's words, headers that every request has."""

from dataclasses import replace

import pytest

from gateway.providers.base import Call, Door, Untranslatable, address, key_of, request_headers
from gateway.upstream.messages import Origin
from gateway.view.plan import place_at, place_of
from shared.crypto.secret import Secret
from shared.models.credential import ApiKeyForm, AwsForm, OptionalApiKeyForm
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
    with pytest.raises(ValueError, match="base_url"):
        Provider(id="acme", name="Acme", base_url=base_url)


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
    assert b"k\r\n" not in request_headers(Call(Door.CHAT, b"", {}, stream=False), PLACE, AWS)
