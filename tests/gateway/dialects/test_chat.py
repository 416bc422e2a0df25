"""A chat made for hosts that read less than the dialect says: what is moved and joined, and that nothing is lost."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.chat import SHOWN, SHOWN_BELOW, Asked, in_strings, shown_by_user, text_part

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
PICTURE = st.integers(0, 9).map(lambda n: {"type": "image_url", "image_url": {"url": f"https://a.test/{n}.png"}})
PARTS = st.lists(TEXT.map(text_part) | PICTURE, min_size=1, max_size=4)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "tool"]), "content": TEXT | PARTS})
    | st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none() | TEXT}),
    max_size=8,
)


def parts(messages: list[dict[str, Any]]) -> list[Any]:
    return [
        part
        for message in messages
        for part in (message["content"] if isinstance(message["content"], list) else [text_part(message["content"])])
    ]


@given(MESSAGES)
def test_pictures_that_tools_gave_are_moved_behind_the_results_and_nothing_is_lost(said: list[dict[str, Any]]) -> None:
    sources = tuple(("messages", at) for at in range(len(said)))
    shown = shown_by_user(Asked({"messages": said}, sources))
    made = shown.body["messages"]
    assert len(shown.sources) == len(made)
    assert all(part["type"] == "text" for message in made if message["role"] == "tool" for part in parts([message]))
    ours = (text_part(SHOWN), text_part(SHOWN_BELOW))
    kept = [part for part in parts(made) if part not in ours]
    for kind in ("text", "image_url"):
        before, after = ([part for part in some if part["type"] == kind] for some in (parts(said), kept))
        assert before == after
    assert [one["role"] for one in said] == [
        one["role"] for one, source in zip(made, shown.sources, strict=True) if is_own(one, source, said)
    ]


def is_own(message: dict[str, Any], source: tuple[Any, ...], said: list[dict[str, Any]]) -> bool:
    """Whether the caller said it himself: what was put behind a tool's result has that one's place."""
    return bool(said[source[1]]["role"] == message["role"])


@given(MESSAGES)
def test_texts_alone_are_one_string_and_nothing_is_lost(said: list[dict[str, Any]]) -> None:
    sources = tuple(("messages", at) for at in range(len(said)))
    joined = in_strings(Asked({"messages": said}, sources))
    made = joined.body["messages"]
    assert len(joined.sources) == len(made)
    for message in made:
        content = message["content"]
        assert not isinstance(content, list) or any(part["type"] != "text" for part in content)
    before, after = (
        "".join(part["text"] for part in parts(some) if part["type"] == "text" and part["text"])
        for some in (said, made)
    )
    assert before.replace("\n", "") == after.replace("\n", "")
    first = [message["role"] == "system" and isinstance(message["content"], str) for message in made[:2]]
    assert first != [True, True]
