"""Usage as `usageMetadata` tells it, read with distrust (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.base import Usage
from gateway.providers.openai.usage import count, in_tier, unreadable

_PARTS = ("cachedContentTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")
_TRAFFIC = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "reserved",
}
"""Vertex AI's words for tiers."""


def counted(usage: Any) -> Usage | None:
    """None when the provider said nothing. Thoughts are counted beside the answer there, and are output here."""
    if not isinstance(usage, Mapping):
        return None
    input_, answer = count(usage.get("promptTokenCount")), count(usage.get("candidatesTokenCount"))
    thought, total = count(usage.get("thoughtsTokenCount")), count(usage.get("totalTokenCount"))
    searched = count(usage.get("toolUsePromptTokenCount")) or 0
    output = None if answer is None and thought is None else (answer or 0) + (thought or 0)
    if input_ is not None:
        input_ += searched
        if output is None and total is not None and total >= input_:
            output = total - input_  # Nothing was said: the count is left out then.
    told = Usage(
        input_tokens=input_,
        output_tokens=output,
        cache_read_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thought,
        audio_input_tokens=_of(usage.get("promptTokensDetails"), "AUDIO"),
        audio_output_tokens=_of(usage.get("candidatesTokensDetails"), "AUDIO"),
        # Sound from the cache has a price of its own, and would be charged as cached and as sound.
        unpriced=bool(
            _of(usage.get("candidatesTokensDetails"), "IMAGE") or _of(usage.get("cacheTokensDetails"), "AUDIO")
        )
        or unreadable(usage, _PARTS),
    )
    tier, traffic = usage.get("serviceTier"), usage.get("trafficType")
    return in_tier(told, tier if tier is not None or not isinstance(traffic, str) else _TRAFFIC.get(traffic.upper()))


def _of(details: Any, modality: str) -> int | None:
    if not isinstance(details, list):
        return None
    counts = [
        count(detail.get("tokenCount"))
        for detail in details
        if isinstance(detail, Mapping) and detail.get("modality") == modality
    ]
    known = [number for number in counts if number is not None]
    return sum(known) if known else None
