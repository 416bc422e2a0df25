"""What a call will cost, as far as that can be told beforehand (pure): tokens are estimated from bytes."""

import msgspec

from gateway.pipeline.resolve import effective_model
from gateway.providers.base import Call, Usage
from gateway.providers.estimate import input_tokens
from gateway.view.route import Target
from shared.pricing import PriceTable

OUTPUT_TOKENS = 500
"""Taken for what is written where the call sets no limit, so that targets can be compared."""

_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class Forecast(msgspec.Struct, frozen=True):
    """In picodollars; None is unknown."""

    input_tokens: int
    output_tokens_max: int | None
    input_picousd: int | None
    """For reading it."""
    most_picousd: int | None
    """With all that may be written."""


def forecast(prices: PriceTable, target: Target, call: Call, at_ms: int) -> Forecast:
    """Raises GatewayError 400 for a call without a model."""
    provider, model = target.place.provider, effective_model(target, call)
    read, limit = input_tokens(call), output_tokens_max(call)
    asked = prices.cost(provider, model, Usage(input_tokens=read, output_tokens=0), at_ms)
    most = None if limit is None else prices.cost(provider, model, Usage(input_tokens=read, output_tokens=limit), at_ms)
    return Forecast(read, limit, None if asked is None else asked.total, None if most is None else most.total)


def expected_picousd(prices: PriceTable, target: Target, call: Call, at_ms: int) -> int | None:
    """By which targets are compared; None: its price is unknown. Raises GatewayError 400 for a call without a model."""
    limit = output_tokens_max(call)
    usage = Usage(input_tokens=input_tokens(call), output_tokens=OUTPUT_TOKENS if limit is None else limit)
    cost = prices.cost(target.place.provider, effective_model(target, call), usage, at_ms)
    return None if cost is None else cost.total


def output_tokens_max(call: Call) -> int | None:
    """The most that the call lets be written; None: it does not say."""
    given = (call.body.get(name) for name in _LIMITS)
    return next((limit for limit in given if type(limit) is int and limit >= 0), None)
