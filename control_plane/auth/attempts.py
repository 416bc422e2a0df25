"""How often strangers may try: a sliding window for each e-mail address and for each network address.

In memory and per process: a restart forgets, and each of several processes counts for itself. That slows guessing by
the factor that matters without a write to the database for every wrong password.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network, ip_address

from control_plane.errors import TooMany, Unavailable
from shared.clock import Clock

WINDOW_S = 900.0
FROM_ADDRESS_MAX = 60
AT_ACCOUNT_MAX = 10
KEYS_MAX = 100_000
"""Beyond it the key that was longest quiet is forgotten."""
_IPV6_SITE_BITS = 64
"""One customer of a provider has at least this much; counting single addresses would count nothing."""


class SlidingWindow:
    """At most `attempts_max` takes of a key in any `window_s`, for `keys_max` keys at a time."""

    def __init__(self, clock: Clock, *, attempts_max: int, window_s: float, keys_max: int) -> None:
        self._clock = clock
        self._attempts_max = attempts_max
        self._window_s = window_s
        self._keys_max = keys_max
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Raises TooMany, and then counts nothing."""
        now_s = self._clock.monotonic_s()
        times = self._times.setdefault(key, deque())
        while times and times[0] <= now_s - self._window_s:
            times.popleft()
        self._times.move_to_end(key)
        if len(times) >= self._attempts_max:
            wait_s = max(1, math.ceil(times[0] + self._window_s - now_s))
            raise TooMany("too many attempts; wait a while", retry_after_s=wait_s)
        times.append(now_s)
        if len(self._times) > self._keys_max:
            self._times.popitem(last=False)

    def put_back(self, key: str) -> None:
        """The last take was no failure, so it does not count."""
        times = self._times.get(key)
        if times:
            times.pop()
        if not times:
            self._times.pop(key, None)


class Attempts:
    """Counted before the attempt and put back after it succeeded, so that a hundred at once are a hundred.

    What a part of ours that is away cuts short is put back, too.
    """

    def __init__(self, clock: Clock) -> None:
        self._addresses = SlidingWindow(clock, attempts_max=FROM_ADDRESS_MAX, window_s=WINDOW_S, keys_max=KEYS_MAX)
        self._accounts = SlidingWindow(clock, attempts_max=AT_ACCOUNT_MAX, window_s=WINDOW_S, keys_max=KEYS_MAX)

    @contextmanager
    def from_address(self, address: str) -> Iterator[None]:
        """Raises TooMany. Behind a proxy the address is the proxy's, and the limit is everybody's together."""
        with _attempt(self._addresses, _site(address)):
            yield

    @contextmanager
    def at_account(self, account: str) -> Iterator[None]:
        """Raises TooMany. `account` is what the attempt names, whether or not it exists."""
        with _attempt(self._accounts, account):
            yield


@contextmanager
def _attempt(window: SlidingWindow, key: str) -> Iterator[None]:
    window.take(key)
    try:
        yield
    except Unavailable:  # Nobody was told whether it was right.
        window.put_back(key)
        raise
    window.put_back(key)


def _site(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:  # A Unix socket has none.
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Network((int(parsed), _IPV6_SITE_BITS), strict=False))
    return str(parsed)
