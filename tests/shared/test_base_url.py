"""Base URLs: what the API takes is what gateways call, to the letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.upstream.messages import parse_origin
from gateway.view.plan import place_of
from shared.base_url import origin, parse_template
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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://own.test/v1", "HTTPS://OWN.test:443/v2/", True),
        ("https://own.test", "http://own.test", False),
        ("https://own.test", "https://own.test:8443", False),
        ("https://own.test", "https://own.test.evil.test", False),
        ("https://{region}.own.test/v1", "https://{region}.OWN.test/v2", True),
        ("https://{region}.own.test", "https://region.own.test", False),
        ("https://{host}", "https://host", False),
        ("https://{a}.a.test", "https://a.{a}.test", False),
        ("https://own.test/{account}", "https://own.test/x", True),
        ("https://own.test", "https://own.test?", False),
    ],
)
def test_an_origin_is_where_a_credential_goes(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) == same


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
