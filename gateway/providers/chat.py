"""A chat's request, read once for adapters that say it in other words (pure).

System messages in one list, the rest as turns of typed parts; results of tools are the user's. What is malformed is
refused by its JSON pointer. What a provider cannot be told is each adapter's to refuse: `refuse`, at a part's `path`.
"""

import re
from collections.abc import Container, Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal

import msgspec
import orjson

from gateway.providers.base import Untranslatable
from gateway.providers.fields import Path, given, malformed, needed, of, only, unsayable
from gateway.providers.signatures import ANTHROPIC, GOOGLE, own

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)
PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CACHE_HINT = "cache_control"
_BREAKPOINT = "prompt_cache_breakpoint"
"""OpenAI's advice about its own cache, beside a part."""
_ASKED = frozenset(("role", "content", "name", CACHE_HINT))
_RESULT = _ASKED | {"tool_call_id"}
_ANSWERED = _ASKED | frozenset(
    "prefix content_blocks reasoning_content reasoning refusal audio function_call tool_calls".split()
)
_BESIDE_AN_ANSWER = frozenset(
    "annotations citations images reasoning_details thinking_blocks provider_specific_fields executed_tools "
    "tool_plan".split()
)
"""What hosts say beside an answer's words. Clients send it along with its turn; no other host reads it."""
_PART = frozenset(("type", CACHE_HINT, _BREAKPOINT))
_TEXT, _REFUSAL, _IMAGE = _PART | {"text"}, _PART | {"refusal"}, _PART | {"image_url"}
_FILE, _SOUND = _PART | {"file"}, _PART | {"input_audio"}
_CALL = frozenset(("id", "type", "function", "index", CACHE_HINT))
_CALLED = frozenset(("name", "arguments", "thought_signature"))
_TOOL = frozenset(("type", "function", CACHE_HINT))
_FUNCTION = frozenset(("name", "description", "parameters", "strict"))
_SCHEMA = frozenset(("name", "description", "schema", "strict"))
SCHEMA_UNNAMED = "output"
"""What a schema is called in a chat whose caller has no word for that: nobody misses it."""


class Text(msgspec.Struct):
    text: str
    path: Path
    hint: Any = None
    """What the caller advises about the provider's cache, as it said it."""


class Image(msgspec.Struct):
    """By address, or as base64 of a media type."""

    path: Path
    media_type: str = ""
    data: str = ""
    url: str = ""
    hint: Any = None


class File(msgspec.Struct):
    path: Path
    name: str | None = None
    media_type: str = ""
    data: str = ""
    """Base64."""
    id: str = ""
    """Of a file that is kept at the provider."""
    hint: Any = None


class Audio(msgspec.Struct):
    path: Path
    data: str
    format: str
    hint: Any = None


class ToolUse(msgspec.Struct):
    id: str
    name: str
    input: dict[str, Any]
    path: Path
    hint: Any = None
    signature: str = ""
    """Of the thought that led to it, at providers that sign calls."""


class ToolResult(msgspec.Struct):
    id: str
    parts: "list[Part]"
    path: Path
    hint: Any = None


class Thought(msgspec.Struct):
    """What the model thought. Its provider knows it again by the signature; a sealed one only its provider can read."""

    text: str
    signature: str
    path: Path
    sealed: str = ""
    hint: Any = None


Part = Text | Image | File | Audio | ToolUse | ToolResult | Thought
Role = Literal["user", "assistant"]


class Turn(msgspec.Struct):
    role: Role
    parts: list[Part]


class Conversation(msgspec.Struct):
    system: list[Text] = msgspec.field(default_factory=list)
    turns: list[Turn] = msgspec.field(default_factory=list)
    """Roles alternate; the results of tools stand before whatever else the user says in the same turn."""
    left_out: set[str] = msgspec.field(default_factory=set)
    """Advice that has no place in the turns: it changes no answer."""
    blanks: bool = True
    """Its provider takes texts of nothing but white space. Else they are as texts that are empty."""


def conversation(
    body: Mapping[str, Any],
    *,
    maker: str | None = ANTHROPIC,
    prefixes: bool = False,
    unsigned: bool = True,
    blanks: bool = True,
) -> Conversation:
    """`maker`: whose signatures of thoughts the provider knows again (`signatures.py`); others' are left out.
    `prefixes`: an assistant's message may be said to be the beginning of the answer. `unsigned`: the provider takes
    thoughts without a signature, such as other models' are. `blanks`: it takes texts of nothing but white space.
    Raises Untranslatable.
    """
    said, ids = Conversation(blanks=blanks), _Ids()
    for at, message in enumerate(needed(list, body, "messages", ())):
        path: Path = ("messages", at)
        turn = of(dict, message, path)
        if turn.get("name") is not None:
            said.left_out.add("name")
        match turn.get("role"):
            case "system" | "developer":
                only(turn, _ASKED, path)
                said.system += _system(turn, path, said)
            case "user":
                only(turn, _ASKED, path)
                _add(said, "user", [*_parts(turn.get("content"), (*path, "content"), said, turn.get(CACHE_HINT))])
            case "assistant":
                if turn.get("prefix") and not (prefixes and at == len(body["messages"]) - 1):
                    raise refuse((*path, "prefix"))
                parts = [*_assistant(turn, path, said, maker)]
                if not unsigned:
                    parts = [*_signed(parts, said)]
                ids.tell_apart([part for part in parts if isinstance(part, ToolUse)])
                if parts or turn.get("prefix"):  # Models say nothing at times, and nobody takes such a turn.
                    _add(said, "assistant", parts)
            case "tool":
                only(turn, _RESULT, path)
                result = [*_parts(turn.get("content"), (*path, "content"), said)]
                call = ids.of_result(needed(str, turn, "tool_call_id", path))
                _add(said, "user", [ToolResult(call, result, path, turn.get(CACHE_HINT))])
            case "function":
                raise refuse((*path, "role"), "names a function's message; send a `tool` message")
            case _:
                raise malformed((*path, "role"), "must be `system`, `developer`, `user`, `assistant` or `tool`")
    if any(text.text for text in said.system):
        said.system = [text for text in said.system if _says_something(text, said)]
    if not said.turns and said.system:
        # OpenAI answers it. Others want somebody to have asked.
        said.turns.append(Turn("user", [*said.system]))
        said.system = []
    return said


def refuse(path: Path, why: str = "has no counterpart at this provider") -> Untranslatable:
    """What to raise for a parameter that this provider cannot be told."""
    return unsayable(path, why)


def refuse_all(body: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse the first of these fields that asks for anything but what happens anyway."""
    for name, values in neutral.items():
        value = body.get(name)
        if value is not None and value not in values:
            raise refuse((name,))


def advice_in(body: Mapping[str, Any], known: Container[str], advice: Container[str]) -> set[str]:
    """The fields that change no answer and have no place in the request. Refuses the first that is not known at all."""
    found: set[str] = set()
    for name, value in body.items():
        if value is None or name in known:
            continue
        if name not in advice:
            raise refuse((name,))
        found.add(name)
    return found


def hints_in(said: Conversation, body: Mapping[str, Any]) -> set[str]:
    """The name of what advises the provider's cache, if anything does."""
    parts = [part for turn in said.turns for part in turn.parts]
    inner = [part for result in parts if isinstance(result, ToolResult) for part in result.parts]
    hints = [part.hint for part in [*said.system, *parts, *inner]]
    hints += [tool.get(CACHE_HINT) for tool in body.get("tools") or () if isinstance(tool, dict)]
    return {CACHE_HINT} if any(hint is not None for hint in hints) else set()


def strictness_in(body: Mapping[str, Any]) -> set[str]:
    """The word for arguments that hold to their schema in any case, if a tool asks for them."""
    functions = [tool.get("function") for tool in body.get("tools") or () if isinstance(tool, dict)]
    return {"strict"} if any(isinstance(one, dict) and one.get("strict") is True for one in functions) else set()


def stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop")
    if stop is None:
        return []
    if isinstance(stop, str):
        return [stop]
    return [of(str, text, ("stop", at)) for at, text in enumerate(of(list, stop, ("stop",)))]


def tokens_max(body: Mapping[str, Any]) -> int | None:
    """The most tokens an answer may have, by whichever of its names; by both, the least."""
    limits = [given(int, body, name, ()) for name in ("max_completion_tokens", "max_tokens")]
    return min((limit for limit in limits if limit is not None), default=None)


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str | None
    parameters: dict[str, Any]
    strict: bool | None
    path: Path
    hint: Any = None


def function_tool(value: Any, path: Path) -> Tool:
    """A tool whose type is `function`. Raises Untranslatable."""
    tool = of(dict, value, path)
    if tool.get("type") != "function":
        raise refuse((*path, "type"), "is a tool that has no counterpart at this provider")
    only(tool, _TOOL, path)
    place = (*path, "function")
    function = needed(dict, tool, "function", path)
    only(function, _FUNCTION, place)
    parameters = given(dict, function, "parameters", place)
    if parameters is not None and parameters.keys().isdisjoint(("type", "$ref")):
        parameters = {"type": "object", **parameters}  # It goes without saying, but not to everybody.
    return Tool(
        needed(str, function, "name", place),
        given(str, function, "description", place),
        {"type": "object", "properties": {}} if parameters is None else parameters,
        given(bool, function, "strict", place),
        path,
        tool.get(CACHE_HINT),
    )


class ToolChoice(msgspec.Struct, frozen=True):
    """`auto`, `none`, `required`, or the one tool of this name."""

    mode: str
    name: str | None = None


def tool_choice(body: Mapping[str, Any]) -> ToolChoice | None:
    choice = body.get("tool_choice")
    if choice is None:
        return None
    path: Path = ("tool_choice",)
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required"):
            raise malformed(path, "must be `auto`, `none`, `required`, or name a function")
        return ToolChoice(choice)
    chosen = of(dict, choice, path)
    if chosen.get("type") != "function":
        raise refuse((*path, "type"))
    only(chosen, ("type", "function"), path)
    function = needed(dict, chosen, "function", path)
    only(function, ("name",), (*path, "function"))
    return ToolChoice("required", needed(str, function, "name", (*path, "function")))


def is_json_object(body: Mapping[str, Any]) -> bool:
    """Whether JSON of no schema is wanted. Raises Untranslatable."""
    form = given(dict, body, "response_format", ())
    if form is None or form.get("type") != "json_object":
        return False
    only(form, ("type",), ("response_format",))
    return True


def json_schema(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """`response_format.json_schema` as it came, where an answer of a schema is wanted; None: text is.

    Raises Untranslatable.
    """
    form = given(dict, body, "response_format", ())
    if form is None:
        return None
    path: Path = ("response_format",)
    if form.get("type") == "text":
        only(form, ("type",), path)
        return None
    if form.get("type") == "json_object":
        raise refuse((*path, "type"), "asks for JSON of no schema, which has no counterpart at this provider")
    if form.get("type") != "json_schema":
        raise malformed((*path, "type"), "must be `text`, `json_object` or `json_schema`")
    only(form, ("type", "json_schema"), path)
    asked = needed(dict, form, "json_schema", path)
    path = (*path, "json_schema")
    only(asked, _SCHEMA, path)
    needed(dict, asked, "schema", path)
    given(str, asked, "name", path)
    given(str, asked, "description", path)
    given(bool, asked, "strict", path)
    return asked


def described_schema(asked: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    """The schema of what `json_schema` found, with the name and the description that stand beside it put into it."""
    schema: dict[str, Any] = asked["schema"]
    name, description = asked.get("name"), asked.get("description")
    title, own = schema.get("title"), schema.get("description")
    said: dict[str, str] = {}
    if name is not None and name != title:
        if title is None and "$ref" not in schema:  # Few take a word beside a reference.
            said["title"] = name
        elif name != SCHEMA_UNNAMED:
            left_out.add("name")
    if description is not None:
        said["description"] = f"{description}\n{own}" if isinstance(own, str) else description
    return {**schema, **said}


def thinking(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any] | None:
    """`thinking` as Anthropic words it, for providers that word it otherwise. Raises Untranslatable."""
    asked = given(dict, body, "thinking", ())
    if asked is None:
        return None
    only(asked, ("type", "budget_tokens", "display"), ("thinking",))
    if asked.get("display") is not None:
        left_out.add("display")
    return asked


class _Ids:
    """Of a conversation's calls, each another. Some hosts number those of each turn anew."""

    __slots__ = ("_again", "_open", "_taken")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._again: dict[str, int] = {}
        """Of an id that came again: how often, at least."""
        self._open: dict[str, list[str]] = {}
        """By the id that its last turn gave them: the calls whose results come next, the last one first."""

    def tell_apart(self, calls: list[ToolUse]) -> None:
        """The calls of one turn, in order."""
        open_: dict[str, list[str]] = {}
        for call in calls:
            said, taken = call.id, self._taken
            while call.id in taken:
                again = self._again[said] = self._again.get(said, 1) + 1
                call.id = f"{said}_{again}"
            taken.add(call.id)
            open_.setdefault(said, []).append(call.id)
        for later_first in open_.values():
            later_first.reverse()
        self._open |= open_

    def of_result(self, said: str) -> str:
        """Of the call that a result is of."""
        calls = self._open.get(said)
        if calls is None:
            return said
        return calls.pop() if len(calls) > 1 else calls[0]


def _add(said: Conversation, role: Role, parts: list[Part]) -> None:
    if not said.turns or said.turns[-1].role != role:
        said.turns.append(Turn(role, parts))
        return
    said.turns[-1].parts += parts


def _system(turn: Mapping[str, Any], path: Path, said: Conversation) -> Iterator[Text]:
    content = turn.get("content")
    place: Path = (*path, "content")
    if isinstance(content, str):
        yield Text(_worded(content, said), place, turn.get(CACHE_HINT))
        return
    _leave_out(said, turn, CACHE_HINT)
    for at, value in enumerate(of(list, content, place)):
        part = of(dict, value, (*place, at))
        if part.get("type") != "text":
            raise refuse((*place, at, "type"), "is no text, and a system message is nothing else here")
        only(part, _TEXT, (*place, at))
        _leave_out(said, part, _BREAKPOINT)
        yield Text(_worded(needed(str, part, "text", (*place, at)), said), (*place, at), part.get(CACHE_HINT))


def _worded(text: str, said: Conversation) -> str:
    return "" if not said.blanks and text.isspace() else text


def _says_something(text: Text, said: Conversation) -> bool:
    """Some providers refuse a text that is empty, and beside others it is nothing that anybody reads."""
    if not text.text and text.hint is not None:
        said.left_out.add(CACHE_HINT)
    return text.text != ""


def _leave_out(said: Conversation, holder: Mapping[str, Any], name: str) -> None:
    """Advice that stands where nobody can be given it."""
    if holder.get(name) is not None:
        said.left_out.add(name)


def _parts(content: Any, path: Path, said: Conversation, hint: Any = None) -> Iterator[Part]:
    """`hint`: what stands beside the content. Only a text that is all of it takes that on."""
    if isinstance(content, str):
        yield Text(_worded(content, said), path, hint)
        return
    if hint is not None:
        said.left_out.add(CACHE_HINT)
    if not isinstance(content, list):
        raise malformed(path, "must be a string or a list of parts")
    for at, value in enumerate(content):
        part = _part(of(dict, value, (*path, at)), (*path, at), said)
        if len(content) == 1 or not isinstance(part, Text) or _says_something(part, said):
            yield part


def _part(part: Mapping[str, Any], path: Path, said: Conversation) -> Part:
    hint = part.get(CACHE_HINT)
    _leave_out(said, part, _BREAKPOINT)
    match part.get("type"):
        case "text":
            only(part, _TEXT, path)
            return Text(_worded(needed(str, part, "text", path), said), path, hint)
        case "refusal":
            only(part, _REFUSAL, path)
            return Text(needed(str, part, "refusal", path), path, hint)
        case "image_url":
            only(part, _IMAGE, path)
            image = needed(dict, part, "image_url", path)
            only(image, ("url", "detail"), (*path, "image_url"))
            if image.get("detail") not in (None, "auto"):
                said.left_out.add("detail")
            url = needed(str, image, "url", (*path, "image_url"))
            media_type, data = split_data_url(url, (*path, "image_url", "url"))
            if media_type == "image/jpg":  # Many say so. It is no registered name, and not all know it.
                media_type = "image/jpeg"
            return Image(path, media_type, data, "" if data else url, hint)
        case "file":
            only(part, _FILE, path)
            file = needed(dict, part, "file", path)
            place = (*path, "file")
            only(file, ("filename", "file_data", "file_id"), place)
            name = given(str, file, "filename", place)
            if (id_ := given(str, file, "file_id", place)) is not None:
                return File(path, name, id=id_, hint=hint)
            media_type, data = split_data_url(needed(str, file, "file_data", place), (*place, "file_data"))
            if not data:
                raise malformed((*place, "file_data"), "must be a data URL of base64")
            return File(path, name, media_type, data, hint=hint)
        case "input_audio":
            only(part, _SOUND, path)
            audio = needed(dict, part, "input_audio", path)
            place = (*path, "input_audio")
            only(audio, ("data", "format"), place)
            return Audio(path, needed(str, audio, "data", place), needed(str, audio, "format", place), hint)
        case str():
            raise refuse((*path, "type"))
    raise malformed((*path, "type"), "must name the kind of the part")


def split_data_url(url: str, path: Path) -> tuple[str, str]:
    """Media type and base64 of a data URL; two empty strings for any other address."""
    found = _DATA_URL.match(url)
    if found is not None:
        return found[1].lower(), url[found.end() :]
    if url.startswith("data:"):
        raise malformed(path, "must be a data URL of base64 that names its media type")
    return "", ""


def _assistant(turn: Mapping[str, Any], path: Path, said: Conversation, maker: str | None) -> Iterator[Part]:
    for name in _BESIDE_AN_ANSWER & turn.keys():
        if turn[name]:
            said.left_out.add(name)
    only(turn, _ANSWERED | _BESIDE_AN_ANSWER, path)
    yield from _thoughts(turn, path, said, maker)
    content = turn.get("content")
    if isinstance(content, str) and (words := _worded(content, said)):
        yield Text(words, (*path, "content"), turn.get(CACHE_HINT))
    else:
        _leave_out(said, turn, CACHE_HINT)
    if isinstance(content, list):
        for part in _parts(content, (*path, "content"), said):
            if not isinstance(part, Text):
                raise refuse((*part.path, "type"), "is nothing that an assistant can have said here")
            if part.text:
                yield part
    if refusal := given(str, turn, "refusal", path):
        yield Text(refusal, (*path, "refusal"))
    for name in ("audio", "function_call"):
        if turn.get(name) is not None:
            raise refuse((*path, name))
    for at, value in enumerate(given(list, turn, "tool_calls", path) or ()):
        use = _tool_use(of(dict, value, (*path, "tool_calls", at)), (*path, "tool_calls", at))
        if use.signature and maker != GOOGLE:
            said.left_out.add("thought_signature")
        yield use


def _thoughts(turn: Mapping[str, Any], path: Path, said: Conversation, maker: str | None) -> Iterator[Thought]:
    blocks = turn.get("content_blocks")
    texts: list[str] = []
    for at, block in enumerate(blocks if isinstance(blocks, list) else ()):
        place = (*path, "content_blocks", at)
        detail = of(dict, block, place)
        if detail.get("type") == "thinking":
            texts.append(needed(str, detail, "thinking", place))
            told = given(str, detail, "signature", place) or ""
            signature = own(told, maker)
            if told and not signature:
                said.left_out.add("signature")
            if texts[-1] or signature:
                yield Thought(texts[-1], signature, place)
        elif detail.get("type") == "redacted_thinking":
            # One door gives a signature that stands alone in the place of a sealed thought.
            sealed = own(needed(str, detail, "data", place), maker)
            if not sealed:
                said.left_out.add("content_blocks")
            elif maker == ANTHROPIC:
                yield Thought("", "", place, sealed)
            else:
                yield Thought("", sealed, place)
        elif detail.get("type") != "text":  # Of texts the turn's content has all but their sources.
            said.left_out.add("content_blocks")
    for name in ("reasoning_content", "reasoning"):
        # Of no provider's own: nobody would know it again. Our own answers say the same in a block, signed.
        if (words := turn.get(name)) and words != "".join(texts):
            said.left_out.add("reasoning_content")


def _signed(parts: list[Part], said: Conversation) -> Iterator[Part]:
    """Without the thoughts that their provider does not know again."""
    for part in parts:
        if isinstance(part, Thought) and not (part.signature or part.sealed):
            said.left_out.add("content_blocks")
        else:
            yield part


def plain_id(id_: str, taken: re.Pattern[str] = PLAIN_ID) -> str:
    """A call's, for providers that take no others than `taken`: any other is given one, always the same."""
    return id_ if taken.fullmatch(id_) else f"call_{sha256(id_.encode()).hexdigest()[:32]}"


def _tool_use(call: Mapping[str, Any], path: Path) -> ToolUse:
    if call.get("type") not in (None, "function"):
        raise refuse((*path, "type"))
    only(call, _CALL, path)
    function = needed(dict, call, "function", path)
    only(function, _CALLED, (*path, "function"))
    arguments = given(str, function, "arguments", (*path, "function")) or ""
    return ToolUse(
        needed(str, call, "id", path),
        needed(str, function, "name", (*path, "function")),
        arguments_of(arguments),
        path,
        call.get(CACHE_HINT),
        given(str, function, "thought_signature", (*path, "function")) or "",
    )


def arguments_of(text: str) -> dict[str, Any]:
    """As an object. Models write broken ones too; refusing those would end every conversation that holds one."""
    try:
        parsed = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        parsed = text
    return parsed if isinstance(parsed, dict) else {"arguments": text}
