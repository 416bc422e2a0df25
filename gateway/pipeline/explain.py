"""How a call would be decided, and what would be sent, without calling anyone: `POST /v1/explain`.

It walks the call's own way with the call's own steps, and takes nothing: no breaker is probed, no retry counted, nobody
asked. Secrets are masked by never being there: what is shown is built with masks in their places.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.pipeline.allow import allow
from gateway.pipeline.attempt import Attempts, Preview
from gateway.pipeline.authenticate import authenticate, is_ours, require_scope
from gateway.pipeline.breaker import Closed, Open, State
from gateway.pipeline.choose import Draw, Facts, Why, decide
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.forecast import expected_picousd, forecast
from gateway.pipeline.idempotent import HEADER, Idempotent
from gateway.pipeline.passed import read_passed
from gateway.pipeline.read import read_call
from gateway.pipeline.resolve import effective_model, resolve
from gateway.pipeline.resolved import Resolved
from gateway.providers.base import Call
from gateway.upstream.messages import UpstreamRequest
from gateway.view.route import Conditional, DeadEnd, Fallback, Route, Target
from gateway.view.view import Caller, ConfigView
from shared.clock import Clock
from shared.field_path import MISSING
from shared.models.config import pointer
from shared.query import Comparison, comparisons_of

MASK = "****"
SCOPE = "explain"
_PICODOLLARS = 12
_SECRET_WORDS = ("authorization", "cookie", "credential", "key", "password", "secret", "signature", "token")
"""A header with one of these in its name is not shown."""

Told = dict[str, Any]


class Explainer:
    __slots__ = ("_attempts", "_chance", "_clock", "_idempotent", "_view")

    def __init__(
        self,
        view: Callable[[], ConfigView],
        attempts: Attempts,
        idempotent: Idempotent,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """`chance` is its own: explaining must not change what calls draw."""
        self._view = view
        self._attempts = attempts
        self._idempotent = idempotent
        self._clock = clock
        self._chance = chance

    async def explain(self, exchange: Exchange) -> Told:
        """The decision about the call that `exchange` holds, as JSON.

        Raises GatewayError for whoever may not ask. A call that would be refused is explained as far as it comes, and
        the refusal is in the answer.
        """
        view = exchange.view = self._view()
        caller = exchange.caller = authenticate(exchange.headers, view, self._clock.wall_ms())
        require_scope(caller, SCOPE)
        told: Told = {
            "request_id": exchange.id,
            "door": exchange.door.value,
            "revision": view.sequence,
            "api_key": _api_key(caller),
        }
        try:
            await self._decide(exchange, caller, view, told)
        except GatewayError as error:
            told["refusal"] = _refusal(error)
        return told

    async def _decide(self, exchange: Exchange, caller: Caller, view: ConfigView, told: Told) -> None:
        """Fill in what is known, step by step. Raises GatewayError where the call would be refused."""
        require_scope(caller, "completions.write")
        if exchange.passage is None:
            call = exchange.call = read_call(exchange.door, exchange.headers, exchange.body)
        else:
            call = exchange.call = await read_passed(exchange.passage, exchange)
        call.created_s = self._clock.wall_ms() // 1_000
        told |= {"model": call.body.get("model"), "stream": call.stream}
        resolved = resolve(exchange.headers, call, caller)
        told |= {"way": resolved.way.value, "config": _config(resolved)}
        facts = Facts(call, exchange.headers, exchange.told_metadata)
        told["conditions"] = _conditions(resolved.route, facts)
        why: Why = []
        told["reasons"] = reasons = []
        try:
            route = decide(resolved.route, facts, why)
            allow(route, resolved, call, caller)
            now_s, wall_ms = self._clock.monotonic_s(), self._clock.wall_ms()
            is_out = partial(self._attempts.is_out, now_s=now_s)
            picousd = partial(expected_picousd, view.prices, call=call, at_ms=wall_ms)
            seconds = partial(self._attempts.seconds, call=call)
            plan = Draw(facts, self._chance.random, is_out, wall_ms, picousd, seconds, why).plan(route)
        finally:
            for reason in why:
                told_of = {"path": reason.path, "because": reason.because, "child": reason.child}
                reasons.append({**told_of, **reason.detail})
        if isinstance(plan, DeadEnd):
            raise plan.error
        if (word := exchange.headers.get(HEADER)) is not None:
            told["idempotency"] = await self._idempotent.foretold(word, exchange)
        told["targets"] = [
            {"path": leaf.path, "refusal": _refusal(leaf.error)}
            if isinstance(leaf, DeadEnd)
            else self._target(leaf, call, exchange, view, now_s)
            for leaf in _leaves(plan)
        ]

    def _target(self, target: Target, call: Call, exchange: Exchange, view: ConfigView, now_s: float) -> Told:
        """What is tried there, in the order of `targets`, as long as the one before is not good enough."""
        told: Told = {
            "path": target.path,
            "provider": target.place.provider,
            "virtual_key": target.virtual_key_id,
            "slug": target.virtual_key,
            "model": None,
            "breaker": _breaker(target, self._attempts.breaker(target), now_s),
            "retry": _retry(target),
        }
        try:
            told["model"] = model = effective_model(target, call)
            preview = self._attempts.preview(target, call, exchange, now_s)
        except GatewayError as error:
            told["refusal"] = _refusal(error)
            return told
        told["cache"] = _cache(target, self._attempts.cache_key(target, call, exchange))
        told["waits"] = _waits(preview)
        told["request"] = None if preview.request is None else _request(preview.request, target)
        told["notes"] = dict(preview.notes)
        told["price"] = _price(view, target, model, call, self._clock.wall_ms())
        return told


def _leaves(plan: Route) -> Iterator[Target | DeadEnd]:
    """Of what was drawn, in the order of trying."""
    if isinstance(plan, Target | DeadEnd):
        yield plan
        return
    assert isinstance(plan, Fallback), "what is tried was drawn before"
    for child in plan.routes:
        yield from _leaves(child)


def _api_key(caller: Caller) -> Told:
    return {
        "id": caller.id,
        "workspace": caller.workspace.id,
        "scopes": sorted(caller.scopes),
        "models": None if caller.models is None else list(caller.models),
        "default_config": caller.default_config,
        "inline_keys": caller.inline_keys,
        "inline_configs": caller.inline_configs,
        "inline_hosts": caller.inline_hosts,
        "expires_at_ms": caller.expires_at_ms,
    }


def _config(resolved: Resolved) -> Told | None:
    entry = resolved.config
    return None if entry is None else {"id": entry.id, "slug": entry.slug, "revision": entry.revision}


def _conditions(route: Route, facts: Facts) -> list[Told]:
    """Every comparison of every conditional node, with what the request says to it and whether it holds."""
    found: list[Told] = []
    if isinstance(route, Conditional):
        for index, (query, child) in enumerate(route.branches):
            for comparison in comparisons_of(query):
                place: Told = {"path": route.path, "condition": index, "then": child}
                found.append(place | _comparison(comparison, facts))
    for child_route in getattr(route, "routes", ()):
        found += _conditions(child_route, facts)
    return found


def _comparison(comparison: Comparison, facts: Facts) -> Told:
    key = str(comparison.key)
    told: Told = {"key": key, "operator": comparison.operator, "operand": comparison.operand}
    try:
        value = facts.value(comparison.key)
    except GatewayError as error:
        # A call that is decided before it comes to this one does not mind.
        return told | {"given": False, "value": None, "holds": None, "fault": error.message}
    is_given = value is not MISSING
    return told | {
        "given": is_given,
        "value": _shown(key, value) if is_given else None,
        "holds": comparison.holds(value),
    }


def _breaker(target: Target, state: State | None, now_s: float) -> Told | None:
    """None: the config gives the target none."""
    if target.handling.breaker is None:
        return None
    if state is None:
        return {"state": "closed", "calls": 0, "failures": 0}
    if isinstance(state, Closed):
        return {"state": "closed", "calls": state.calls, "failures": state.failures}
    if isinstance(state, Open):
        return {"state": "open", "opens_again_in_s": round(max(state.until_s - now_s, 0.0), 3)}
    return {"state": "probing"}


def _retry(target: Target) -> Told | None:
    retry = target.handling.retry
    if retry is None:
        return None
    codes = sorted(retry.on_status_codes)
    return {"attempts": retry.attempts, "on_status_codes": codes, "use_retry_after_header": retry.heeds_retry_after}


def _cache(target: Target, key: str | None) -> Told | None:
    """None: what is asked there is not cached."""
    rules = target.handling.cache
    return None if rules is None or key is None else {"key": key, "max_age_s": rules.max_age_s}


def _waits(preview: Preview) -> Told:
    waits = preview.deadlines
    return {
        "connect_s": waits.connect_s,
        "first_byte_s": min(waits.first_byte_s, waits.head_s),
        "between_bytes_s": waits.between_bytes_s,
        "total_s": waits.total_s,
    }


def _request(request: UpstreamRequest, target: Target) -> Told:
    head = request.head
    lines = [line.partition(": ") for line in head.headers.decode("utf-8", "replace").split("\r\n") if line]
    secret = target.place.auth_header.decode("ascii")
    headers = {name: _masked(value) if name == secret else _shown(name, value) for name, _, value in lines}
    try:
        body: Any = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        body = request.body.decode("utf-8", "replace")
    return {
        "method": head.method,
        "url": f"{request.origin.scheme}://{request.origin.authority}{head.target}",
        "headers": headers,
        "body": body,
        "bytes": len(request.body),
    }


def _shown(name: str, value: Any) -> Any:
    """A value of the caller's own, unless its name says that it is a secret, or it is one of ours."""
    if isinstance(value, str) and (any(word in name for word in _SECRET_WORDS) or is_ours(value)):
        return _masked(value)
    return value


def _masked(value: str) -> str:
    """`Bearer ****`: the scheme says how it would be sent."""
    scheme, space, _ = value.partition(" ")
    return f"{scheme} {MASK}" if space and scheme.isalpha() else MASK


def _price(view: ConfigView, target: Target, model: str, call: Call, now_ms: int) -> Told:
    """What the call would cost: for what is read, and for as much as may be written. None is unknown."""
    held = view.prices.held(target.place.provider, model, now_ms)
    told = forecast(view.prices, target, call, now_ms)
    return {
        "price": None if held is None else held.price,
        "adjustment": None if held is None else held.adjustment,
        "input_tokens": told.input_tokens,
        "output_tokens_max": told.output_tokens_max,
        "estimated": True,
        "input_usd": None if told.input_picousd is None else _usd(told.input_picousd),
        "usd_max": None if told.most_picousd is None else _usd(told.most_picousd),
    }


def _usd(picodollars: int) -> str:
    digits = str(picodollars).rjust(_PICODOLLARS + 1, "0")
    whole, decimals = digits[:-_PICODOLLARS], digits[-_PICODOLLARS:].rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _refusal(error: GatewayError) -> Told:
    told: Told = {
        "status": error.row.status,
        "code": error.code.value,
        "message": error.message,
        "param": error.param,
    }
    if error.faults:
        told["errors"] = [{"path": pointer(fault.path), "message": fault.message} for fault in error.faults]
    return told
