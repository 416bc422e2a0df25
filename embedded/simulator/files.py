"""Files: uploaded, listed, read and deleted; kept on disk while they are kept.

Source of the shapes: OpenAI's API reference, `file`.
"""

import tempfile
from dataclasses import dataclass
from typing import IO, Any

import orjson

from embedded.simulator import errors
from embedded.simulator.forms import Form
from embedded.simulator.replies import Reply, Whole
from embedded.simulator.shelf import Shelf
from embedded.simulator.upload import IN_MEMORY_BYTES_MAX
from embedded.simulator.wire import CREATED

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
PAGE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class File:
    row: dict[str, Any]
    content: IO[bytes]

    def read(self) -> bytes:
        self.content.seek(0)
        return self.content.read()


class Files:
    def __init__(self) -> None:
        self._shelf: Shelf[File] = Shelf(lambda file: file.content.close())
        self._number = 0

    def upload(self, form: Form) -> Reply:
        """Raises errors.Refused."""
        file = form.file("file")
        purpose = form.body().get("purpose")
        if purpose is None:
            raise errors.missing("purpose")
        if purpose not in PURPOSES:
            raise errors.invalid(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
        return Whole(orjson.dumps(self.keep(file.filename or "upload", purpose, file.data).row))

    def keep(self, filename: str, purpose: str, data: bytes) -> File:
        self._number += 1
        row = {
            "id": f"file-{self._number:024x}",
            "object": "file",
            "bytes": len(data),
            "created_at": CREATED,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES_MAX)  # noqa: SIM115 - closed when dropped
        content.write(data)
        file = File(row, content)
        self._shelf.put(row["id"], file)  # type: ignore[arg-type]
        return file

    def find(self, id_: str) -> File:
        """Raises errors.Refused if it is not there."""
        file = self._shelf.get(id_)
        if file is None:
            raise errors.invalid(f"No such File object: {id_}", "id", status=404)
        return file

    def list(self, query: dict[str, str]) -> Reply:
        rows = [file.row for file in self._shelf.newest() if query.get("purpose") in (None, file.row["purpose"])]
        return Whole(page(rows, query))

    def show(self, id_: str) -> Reply:
        return Whole(orjson.dumps(self.find(id_).row))

    def content(self, id_: str) -> Reply:
        return Whole(self.find(id_).read(), "application/octet-stream")

    def delete(self, id_: str) -> Reply:
        self.find(id_)
        self._shelf.take(id_)
        return Whole(orjson.dumps({"id": id_, "object": "file", "deleted": True}))

    def close(self) -> None:
        for file in self._shelf.newest():
            file.content.close()


def page(rows: list[dict[str, Any]], query: dict[str, str]) -> bytes:
    """OpenAI's list, newest first; `after` and `limit` are read."""
    ids = [row["id"] for row in rows]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    limit = query.get("limit", "")
    stop = start + (int(limit) if limit.isdecimal() else PAGE_MAX)
    shown = rows[start:stop]
    return orjson.dumps(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": stop < len(rows),
        }
    )
