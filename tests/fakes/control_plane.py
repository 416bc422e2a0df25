"""A control plane that answers what it was told to, in order, and writes down what it was asked."""

from collections.abc import Callable

from gateway.sync.control_plane_client import JSON, CallFailed, Told

Reply = bytes | CallFailed


class FakeControlPlane:
    """Speaks `ControlPlane`. Without a reply left it cannot be reached."""

    def __init__(self) -> None:
        self.replies: list[Reply | Callable[[bytes], Reply]] = []
        self.asked: list[tuple[str, bytes]] = []
        self.left: list[bytes] = []
        """Answers after which another endpoint is to be asked."""

    async def post(
        self, path: str, body: bytes, *, wait_s: float = 0.0, media_type: str = JSON, answer_bytes_max: int = 2**28
    ) -> Told:
        self.asked.append((path, body))
        reply = self.replies.pop(0) if self.replies else CallFailed("unreachable", "scripted")
        if callable(reply):
            reply = reply(body)
        if isinstance(reply, CallFailed):
            raise reply
        return Told(reply)

    def leave(self, told: Told) -> None:
        self.left.append(told.body)
