"""The control plane's side of records, by the letter of GHS/1 17: what it counted, and what it may forget."""

import orjson

from gateway.sync.control_plane_client import CallFailed
from shared.protocol import batch
from shared.protocol.batch import Acknowledgement


class FakeLedger:
    """Answers bodies of `POST /sync/v1/records`. Counts each payload once, by its hash."""

    def __init__(self) -> None:
        self.streams: dict[str, tuple[int, str]] = {}
        """Last number and hash of each."""
        self.counted: dict[str, bytes] = {}
        """Payloads by hash, in the order in which they first came."""
        self.order: list[tuple[str, int]] = []
        """What came, in order, by stream and number; also what was refused."""

    def __call__(self, body: bytes) -> bytes | CallFailed:
        head, payload = batch.split(body)
        hash_ = batch.payload_hash(payload)
        last, last_hash = self.streams.get(head.stream, (0, ""))
        self.order.append((head.stream, head.seq))
        if head.seq > last + 1:
            return CallFailed("batch_gap", f"batch {last + 1} comes next")
        if head.seq == last and hash_ != last_hash:
            return CallFailed("batch_conflict", "another payload")
        if head.seq == last + 1:
            self.streams[head.stream] = (head.seq, hash_)
            self.counted.setdefault(hash_, payload)
        return acknowledgement(head.stream, max(last, head.seq))

    def records(self) -> list[str]:
        return [record.id for payload in self.counted.values() for record in batch.parse(payload).records]


def acknowledgement(stream: str, acknowledged: int) -> bytes:
    return orjson.dumps(Acknowledgement(stream=stream, acknowledged=acknowledged).model_dump())
