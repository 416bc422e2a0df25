"""What the compiler says of a resource that this gateway cannot use; the worker's report tells the agent of it."""

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """A resource this gateway cannot use. Its last good version serves on, if there was one."""

    shard: str
    kind: str
    id: str
    revision: int
    code: str
    detail: str
