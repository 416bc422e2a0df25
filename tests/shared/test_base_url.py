"""Base URLs: what the API takes is what gateways call, to the letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.upstream.messages import parse_origin
from gateway.view.plan import place_of
from shared.base_url import parse_template
from shared.models.provider import BaseUrl, Provider, TemplateUrl

TYPED = {False: TypeAdapter(BaseUrl), True: TypeAdapter(TemplateUrl)}
URLS = st.lists(st.sampled_from([*"aZ09.:-_/?#@%[]{}\\ \r\né", "https://", "http://", "xn--", "{region}"]), max_size=12)


def called(url: str, *, template: bool) -> bool:
    """Whether a gateway calls it."""
    try:
        if template:
            place_of(Provider(id="x", name="X", base_url=url))
        else:
            parse_origin(url)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("template", [False, True])
@given(parts=URLS, begun=st.booleans())
def test_what_the_api_takes_gateways_call_and_nothing_else(template: bool, begun: bool, parts: list[str]) -> None:
    url = "https://a" * begun + "".join(parts)
    try:
        kept = TYPED[template].validate_python(url)
    except ValidationError:
        assert not called(url, template=template)
    else:
        assert called(url, template=template)
        assert called(kept, template=template)


def test_a_word_of_the_credential_may_stand_in_a_providers() -> None:
    assert parse_template("https://api.{aws_region}.test:81/{deployment}/") == (
        "https",
        "api.aws-region.test",
        81,
        "/deployment",
    )
    for url in ("https://{Region}.test", "https://{.test", "https://{_a}.test", "https://a.test/}"):
        with pytest.raises(ValueError, match=r"\w+ \w+"):
            parse_template(url)
