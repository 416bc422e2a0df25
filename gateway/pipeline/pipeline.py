"""The corridor: what happens to a call, from its bytes to its answer. Start reading here."""

from collections.abc import Callable

from gateway.errors import Code, GatewayError
from gateway.pipeline.attempt import Attempts
from gateway.pipeline.authenticate import authenticate, require_scope
from gateway.pipeline.exchange import Answer, Exchange
from gateway.pipeline.outcome import Outcome, outcome_of
from gateway.pipeline.read import read_call
from gateway.pipeline.relay import refuse, relay
from gateway.pipeline.resolve import resolve
from gateway.view.holder import ViewHolder
from gateway.view.view import ConfigView
from shared.clock import Clock


class Pipeline:
    __slots__ = ("_attempts", "_clock", "_settle", "_views")

    def __init__(self, views: ViewHolder, attempts: Attempts, clock: Clock, settle: Callable[[Outcome], None]) -> None:
        self._views = views
        self._attempts = attempts
        self._clock = clock
        self._settle = settle

    async def run(self, exchange: Exchange, answer: Answer) -> None:
        """Answer one call. Whatever happens, its outcome is settled exactly once; cancelling stops the provider too."""
        try:
            try:
                view = self.view()  # Taken once: the call sees one configuration to its end.
                caller = exchange.caller = authenticate(exchange.headers, view, self._clock.wall_ms())
                require_scope(caller, "completions.write")
                call = exchange.call = read_call(exchange.door, exchange.headers, exchange.body)
                route = resolve(exchange.headers, call, caller)
                reply = await self._attempts.run(route, call, exchange)
            except GatewayError as error:
                await refuse(error, exchange, answer)
            else:
                await relay(reply, exchange, answer)
        finally:
            self._settle(outcome_of(exchange, self._clock.monotonic_s()))

    def view(self) -> ConfigView:
        """Raises GatewayError 503 while no verified configuration is there."""
        view = self._views.current
        if view is None:
            message = "this gateway has no verified configuration yet; it will take calls as soon as it has"
            raise GatewayError(Code.NOT_READY, message, retry_after_s=2)
        return view
