"""What an orchestrator asks: is the process alive, may calls come."""

from collections.abc import Callable
from typing import Any

from gateway.view.holder import ViewHolder


class Probes:
    """Readiness is a verified configuration and nothing else: Redis and the control plane may be away."""

    __slots__ = ("_status", "_views")

    def __init__(self, views: ViewHolder, status: Callable[[], dict[str, Any]]) -> None:
        self._views = views
        self._status = status
        """What the configuration's follower says of itself: sequence, last refusal."""

    def answer(self, path: str) -> tuple[int, dict[str, Any]] | None:
        """Status and body of `/livez` (the original calls it `/v1/health`) and `/readyz`; None for any other path."""
        if path in ("/livez", "/v1/health"):
            return 200, {"status": "alive"}
        if path != "/readyz":
            return None
        status = self._status()
        # The view is swapped in first; a moment later the follower says which lease it is that is served.
        if self._views.current is None or status.get("sequence") is None:
            return 503, {"status": "not_ready", "code": "no_configuration", **status}
        return 200, {"status": "ready", **status}
