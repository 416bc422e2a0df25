"""Things the simulator keeps for later calls, the newest 1,000 of a kind."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

THINGS_MAX = 1_000


class Shelf(Generic[T]):
    def __init__(self, dropped: Callable[[T], None] = lambda _: None) -> None:
        self._things: dict[str, T] = {}
        self._dropped = dropped

    def put(self, id_: str, thing: T) -> None:
        self.take(id_)
        self._things[id_] = thing
        if len(self._things) > THINGS_MAX:
            self.take(next(iter(self._things)))

    def get(self, id_: str) -> T | None:
        return self._things.get(id_)

    def take(self, id_: str) -> bool:
        """Drop it; whether it was there."""
        thing = self._things.pop(id_, None)
        if thing is None:
            return False
        self._dropped(thing)
        return True

    def newest(self) -> list[T]:
        return list(reversed(self._things.values()))
