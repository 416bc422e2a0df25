"""Texts under fields are there for whoever asks: a schema, a document."""

from pydantic import Field

from shared.field_texts import Described, field_texts


class Wheel(Described):
    width_mm: int = Field(alias="width")
    """Of its tyre,
    without air."""
    spare: bool = False
    colour: str = ""
    """As it is painted."""


class Large(Wheel):
    spare: bool = True
    """One that is carried along."""
    colour: str = "red"
    """Told anew."""


def test_a_field_has_the_text_right_under_it() -> None:
    assert field_texts(Wheel) == {"width_mm": "Of its tyre,\nwithout air.", "colour": "As it is painted."}


def test_a_class_tells_what_it_inherits_and_what_it_says_anew() -> None:
    texts = field_texts(Large)
    assert texts["width_mm"] == "Of its tyre,\nwithout air."
    assert texts["spare"] == "One that is carried along."
    assert texts["colour"] == "Told anew."


def test_a_schema_says_them_under_the_name_that_is_written() -> None:
    properties = Wheel.model_json_schema()["properties"]
    assert properties["width"]["description"] == "Of its tyre,\nwithout air."
    assert "description" not in properties["spare"]


def test_what_a_field_says_of_itself_stays() -> None:
    class Told(Described):
        size: int = Field(description="in its own words")
        """Under it."""

    assert Told.model_json_schema()["properties"]["size"]["description"] == "in its own words"
