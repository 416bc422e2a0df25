"""The corridor: what happens to a call, from its bytes to its answer. Start reading here."""

import random
from functools import partial
from weakref import ref

from gateway.cache.claims import Held
from gateway.errors import Code, GatewayError
from gateway.pipeline.allow import allow
from gateway.pipeline.attempt import Attempts
from gateway.pipeline.authenticate import authenticate, require_scope
from gateway.pipeline.choose import Draw, Facts, decide
from gateway.pipeline.exchange import Answer, Exchange, Records
from gateway.pipeline.forecast import expected_picousd
from gateway.pipeline.idempotent import HEADER, Idempotent
from gateway.pipeline.known import Known
from gateway.pipeline.passed import read_passed
from gateway.pipeline.read import read_call
from gateway.pipeline.relay import Relay
from gateway.pipeline.replies import Reply
from gateway.pipeline.resolve import effective_model, resolve
from gateway.pipeline.resolved import Resolved
from gateway.providers.base import Call
from gateway.view.holder import ViewHolder
from gateway.view.route import Route, Target
from gateway.view.view import Caller, ConfigView
from shared.clock import Clock


class Pipeline:
    __slots__ = ("_attempts", "_chance", "_clock", "_idempotent", "_records", "_relay", "_views")

    def __init__(
        self,
        views: ViewHolder,
        attempts: Attempts,
        idempotent: Idempotent,
        clock: Clock,
        records: Records,
        chance: random.Random,
    ) -> None:
        """`chance` draws among targets by their weights."""
        self._views = views
        self._chance = chance
        self._attempts = attempts
        self._idempotent = idempotent
        self._clock = clock
        self._records = records
        self._relay = Relay(records, clock)

    def admit(self, exchange: Exchange) -> None:
        """Whether somebody may call at all, before much of what he sends is held for him. Raises GatewayError."""
        caller = exchange.caller = authenticate(exchange.headers, self.view(), self._clock.wall_ms(), exchange.known)
        self._records.name(exchange)
        require_scope(caller, "completions.write")

    async def run(self, exchange: Exchange, answer: Answer) -> None:
        """Answer one call. Whatever happens, it is recorded exactly once; cancelling stops the provider too."""
        try:
            try:
                # Taken once: the call sees one configuration to its end.
                view = exchange.view = self._views.current or self.view()
                headers, known, now_ms = exchange.headers, exchange.known, self._clock.wall_ms()
                caller = exchange.caller = authenticate(headers, view, now_ms, known)
                self._records.name(exchange)
                require_scope(caller, "completions.write")
                if exchange.passage is None:
                    call = exchange.call = read_call(exchange.door, headers, exchange.body, known)
                else:
                    call = exchange.call = await read_passed(exchange.passage, exchange)
                    exchange.received_s = exchange.received_s or self._clock.monotonic_s()
                call.id, call.created_s = exchange.id, now_ms // 1_000
                plan = self._plan(exchange, call, caller, view)
                reply: Reply | Held
                if (word := headers.get(HEADER)) is None:
                    reply = await self._attempts.run(plan, call, exchange)
                else:
                    run = partial(self._attempts.run, plan, call, exchange)
                    reply = await self._idempotent.through(word, exchange, run)
            except GatewayError as error:
                await self._relay.refuse(error, exchange, answer)
            else:
                await self._relay.reply(reply, exchange, answer)
        except ConnectionError:
            raise  # The caller has left, which is no fault.
        except Exception:
            # A fault of ours, which the lane tells the caller of; the record has to say so too.
            exchange.error = Code.INTERNAL.value
            exchange.status = exchange.status or 500
            exchange.ending = "broken" if exchange.first_byte_s else "refused"
            raise
        finally:
            if not exchange.recorded:
                self._records.end(exchange)

    def _plan(self, exchange: Exchange, call: Call, caller: Caller, view: ConfigView) -> Route:
        """What is tried, and in which order. Raises GatewayError for what may not be tried."""
        known, few = exchange.known, call.few
        model = call.body.get("model") if few is None else few.model
        resolved = None if known is None else known.resolved
        if known is None or resolved is None or known.model != model or known.caller() is not caller:
            resolved = _resolved(exchange, known, call, caller)
        exchange.way, exchange.config = resolved.way, resolved.config
        if known is not None and known.target is not None:
            return known.target
        route = resolved.route
        if isinstance(route, Target):
            allow(route, resolved, call, caller)
            if known is not None:
                known.target = route
                if route.is_plain and caller.models is None and call.dialect is None:
                    known.plain, known.effective_model = route, effective_model(route, call)
            return route
        facts = Facts(call, exchange.headers, exchange.told_metadata)
        why = exchange.why = []
        route = decide(route, facts, why)
        allow(route, resolved, call, caller)
        is_out = partial(self._attempts.is_out, now_s=self._clock.monotonic_s())
        wall_ms = self._clock.wall_ms()
        picousd = partial(expected_picousd, view.prices, call=call, at_ms=wall_ms)
        seconds = partial(self._attempts.seconds, call=call)
        return Draw(facts, self._chance.random, is_out, wall_ms, picousd, seconds, why).plan(route)

    def view(self) -> ConfigView:
        """Raises GatewayError 503 while no verified configuration is there."""
        view = self._views.current
        if view is None:
            message = "this gateway has no verified configuration yet; it will take calls as soon as it has"
            raise GatewayError(Code.NOT_READY, message, retry_after_s=2)
        return view


def _resolved(exchange: Exchange, known: Known | None, call: Call, caller: Caller) -> Resolved:
    """What a head, a model and a caller lead to, to be looked for once. Raises GatewayError."""
    if known is None:
        return resolve(exchange.headers, call, caller)
    known.resolved = known.target = known.plain = None
    resolved = known.resolved = resolve(exchange.headers, call, caller)
    known.model, known.caller = call.model, ref(caller)
    return resolved
