"""What a store of the verified state can do, and the one in memory that tests use beside the real ones.

A store keeps immutable pieces by name and one pointer. It judges nothing: readers check every byte (GHS/1 8.2).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from shared.clock import Clock

POINTERS_KEPT = 3
"""What the newest pointers reach is never swept."""
SWEEP_AFTER_S = 600
"""How long an unreachable piece lives after a writer last meant to use it. Writers move the pointer well within it."""


class StoreUnavailable(Exception):
    """The store cannot be used now: away, full, read-only, too slow. Nothing else leaves a store's methods."""

    def __init__(self, store: str, detail: str) -> None:
        super().__init__(f"{store}: {detail}")
        self.store = store
        self.detail = detail


class Store(Protocol):
    """Every method raises StoreUnavailable and nothing else."""

    @property
    def name(self) -> str: ...

    async def pointer(self) -> bytes | None:
        """The pointer as written last, or None."""
        ...

    async def pointers(self) -> list[bytes]:
        """The last POINTERS_KEPT pointers, newest first."""
        ...

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        """Set the pointer if it still is `expected`; whether it was (GHS/1 8.5)."""
        ...

    async def touch(self, names: Collection[str]) -> set[str]:
        """Keep these pieces from being swept for SWEEP_AFTER_S; those that are missing."""
        ...

    async def get(self, names: Collection[str]) -> dict[str, bytes]:
        """Those that are there, unchecked."""
        ...

    async def put(self, pieces: Mapping[str, bytes]) -> None: ...

    async def sweep(self, keep: Collection[str]) -> int:
        """Remove what is not in `keep` and was not touched for SWEEP_AFTER_S; how many pieces went."""
        ...

    async def close(self) -> None: ...


class MemoryStore:
    """A store for tests. Set `away` to make it fail; change `pieces` or `history` to damage it."""

    def __init__(self, clock: Clock, name: str = "memory") -> None:
        self._name = name
        self._clock = clock
        self._touched: dict[str, float] = {}
        self.pieces: dict[str, bytes] = {}
        self.history: list[bytes] = []
        self.away = False
        self.writes: list[str] = []
        """Names in the order written; `pointer` for the pointer."""

    @property
    def name(self) -> str:
        return self._name

    async def pointer(self) -> bytes | None:
        self._check()
        return self.history[0] if self.history else None

    async def pointers(self) -> list[bytes]:
        self._check()
        return list(self.history)

    async def move(self, expected: bytes | None, pointer: bytes) -> bool:
        if await self.pointer() != expected:
            return False
        self.history = [pointer, *self.history][:POINTERS_KEPT]
        self.writes.append("pointer")
        return True

    async def touch(self, names: Collection[str]) -> set[str]:
        self._check()
        self._mark(names)
        return {name for name in names if name not in self.pieces}

    async def get(self, names: Collection[str]) -> dict[str, bytes]:
        self._check()
        return {name: self.pieces[name] for name in names if name in self.pieces}

    async def put(self, pieces: Mapping[str, bytes]) -> None:
        self._check()
        self._mark(pieces)
        self.pieces.update(pieces)
        self.writes.extend(pieces)

    async def sweep(self, keep: Collection[str]) -> int:
        self._check()
        cutoff_s = self._clock.monotonic_s() - SWEEP_AFTER_S
        gone = [name for name in self.pieces if name not in keep and self._touched.get(name, cutoff_s) <= cutoff_s]
        for name in gone:
            del self.pieces[name]
        return len(gone)

    async def close(self) -> None:
        pass

    def _mark(self, names: Iterable[str]) -> None:
        self._touched.update(dict.fromkeys(names, self._clock.monotonic_s()))

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable(self._name, "away")
