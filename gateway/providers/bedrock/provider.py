"""The adapter of AWS Bedrock."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import quote

from gateway.providers.base import (
    EVENT_STREAM,
    Call,
    Door,
    Exchange,
    Place,
    Provider,
    ProviderKey,
    Translated,
    Usage,
    address,
    request_headers,
)
from gateway.providers.bedrock.answer import to_chat
from gateway.providers.bedrock.embeddings import to_embeddings, to_invoke
from gateway.providers.bedrock.errors import chat_error
from gateway.providers.bedrock.request import to_converse
from gateway.providers.bedrock.role import AssumedRole, signer_of
from gateway.providers.bedrock.stream import ConverseStream
from gateway.providers.body import caller_wants_usage, dumped, parsed_answer
from shared.models.credential import AwsForm, CredentialForm

FRAMES = "application/vnd.amazon.eventstream"
_BETA = b"\r\nanthropic-beta: "


class Bedrock(Provider):
    """Source: Amazon Bedrock API reference (Converse, ConverseStream, InvokeModel)."""

    stream_type = FRAMES
    passes = False  # Its paths are none below `/v1`, and signed.

    def prepare(self, form: CredentialForm) -> None:
        if form == "aws":
            import_module("gateway.providers.bedrock.signature")

    def exchange(self, key: ProviderKey) -> Exchange | None:
        return AssumedRole(key) if isinstance(key, AwsForm) and key.role_arn is not None else None

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        body = {**call.body, **overrides, "model": model}
        if call.door is Door.EMBEDDINGS:
            asked, left_out = to_invoke(body, model)
            action = "invoke"
        else:
            asked, left_out = to_converse(_with_beta(body, call))
            action = "converse-stream" if call.stream else "converse"
        origin, prefix = address(place, key)
        signer = signer_of(key, "bedrock") if isinstance(key, AwsForm) else None
        headers = request_headers(call, place, key if signer is None else None)
        if call.stream:
            headers = headers.replace(EVENT_STREAM.encode(), FRAMES.encode(), 1)
        return Translated(
            target=f"{prefix}/model/{quote(model, safe='')}/{action}",
            headers=headers,
            body=dumped(asked),
            origin=origin,
            signer=signer,
            left_out=left_out,
        )

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        return to_embeddings(call, parsed) if call.door is Door.EMBEDDINGS else to_chat(call, parsed)

    def stream(self, call: Call) -> ConverseStream:
        return ConverseStream(call, asks_usage=caller_wants_usage(call))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return chat_error(provider, status, headers, body)


def _with_beta(body: dict[str, Any], call: Call) -> dict[str, Any]:
    """What a header names for some models stands in the body here, as a list."""
    found = (b"\r\n" + call.forwarded).partition(_BETA)[2].partition(b"\r\n")[0]
    if not found or "anthropic_beta" in body:
        return body
    return {**body, "anthropic_beta": [name.strip() for name in found.decode("latin-1").split(",") if name.strip()]}
