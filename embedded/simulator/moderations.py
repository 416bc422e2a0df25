"""Moderations: what is unsafe in a text is what says so. Pure.

Source of the shape: OpenAI's API reference, `moderation`.
"""

from typing import Any

import orjson

from embedded.simulator import checks, errors
from embedded.simulator.checks import Body, Rule

CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)
"""A text is flagged in each category whose name stands in it."""
IMAGE_CATEGORIES = ("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic")
RULES = {"input": Rule((str, list), "one of a string, an array of strings or an array of objects")}
PART_TYPES = ("text", "image_url")


def answer(body: Body) -> bytes:
    """Raises errors.Refused if the body is not a proper request."""
    if body.get("input") is None:
        raise errors.missing("input")
    checks.check(body, RULES)
    results = [_result(text, has_image) for text, has_image in _inputs(body["input"])]
    return orjson.dumps({"id": f"modr-{checks.digest(body)[:29]}", "model": body["model"], "results": results})


def _inputs(given: Any) -> list[tuple[str, bool]]:
    """Each input's text, and whether a picture came with it. Parts in a list are one input."""
    if isinstance(given, str):
        return [(given, False)]
    if given and all(isinstance(item, str) for item in given):
        return [(item, False) for item in given]
    if not given or not all(isinstance(item, dict) and item.get("type") in PART_TYPES for item in given):
        raise errors.invalid("'$.input' is invalid. Please check the API reference.", "input")
    texts = [item.get("text") for item in given if item["type"] == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise errors.invalid("'$.input' is invalid. Please check the API reference.", "input")
    return [(" ".join(map(str, texts)), any(item["type"] == "image_url" for item in given))]


def _result(text: str, has_image: bool) -> dict[str, Any]:
    flagged = {category: category in text.lower() for category in CATEGORIES}
    applied = {
        category: ["text", "image"] if has_image and category in IMAGE_CATEGORIES else ["text"]
        for category in CATEGORIES
    }
    return {
        "flagged": any(flagged.values()),
        "categories": flagged,
        "category_scores": {category: 0.98 if flag else 0.01 for category, flag in flagged.items()},
        "category_applied_input_types": applied,
    }
