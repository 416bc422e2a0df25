"""The corridor: what happens to a call, from its bytes to its answer. Start reading here."""

from gateway.errors import Code, GatewayError
from gateway.pipeline.attempt import Attempts
from gateway.pipeline.authenticate import authenticate, require_scope
from gateway.pipeline.exchange import Answer, Exchange, Records
from gateway.pipeline.read import read_call
from gateway.pipeline.relay import Relay
from gateway.pipeline.resolve import resolve
from gateway.view.holder import ViewHolder
from gateway.view.view import ConfigView
from shared.clock import Clock


class Pipeline:
    __slots__ = ("_attempts", "_clock", "_records", "_relay", "_views")

    def __init__(self, views: ViewHolder, attempts: Attempts, clock: Clock, records: Records) -> None:
        self._views = views
        self._attempts = attempts
        self._clock = clock
        self._records = records
        self._relay = Relay(records, clock)

    async def run(self, exchange: Exchange, answer: Answer) -> None:
        """Answer one call. Whatever happens, it is recorded exactly once; cancelling stops the provider too."""
        try:
            try:
                view = exchange.view = self.view()  # Taken once: the call sees one configuration to its end.
                caller = exchange.caller = authenticate(exchange.headers, view, self._clock.wall_ms())
                self._records.name(exchange)
                require_scope(caller, "completions.write")
                call = exchange.call = read_call(exchange.door, exchange.headers, exchange.body)
                resolved = resolve(exchange.headers, call, caller)
                exchange.way, exchange.config = resolved.way, resolved.config
                reply = await self._attempts.run(resolved.route, call, exchange)
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
            self._records.end(exchange)

    def view(self) -> ConfigView:
        """Raises GatewayError 503 while no verified configuration is there."""
        view = self._views.current
        if view is None:
            message = "this gateway has no verified configuration yet; it will take calls as soon as it has"
            raise GatewayError(Code.NOT_READY, message, retry_after_s=2)
        return view
