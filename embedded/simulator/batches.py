"""Batches: a file of requests, answered when somebody looks whether it is done.

Source of the shapes: OpenAI's API reference, `batch`, and the lines of its input and output files.
"""

from collections.abc import Callable
from typing import Any

import orjson

from embedded.simulator import checks, errors
from embedded.simulator.checks import Body
from embedded.simulator.files import File, Files, page
from embedded.simulator.replies import Reply, Whole
from embedded.simulator.shelf import Shelf
from embedded.simulator.wire import CREATED

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations")
RULES = {"metadata": checks.OBJECT, **dict.fromkeys(("input_file_id", "endpoint", "completion_window"), checks.STRING)}
LINES_MAX = 50_000

Answer = Callable[[str, Body], bytes]
"""The whole answer to a call of a path. Raises errors.Refused."""


class Batches:
    def __init__(self, files: Files, answer: Answer) -> None:
        self._files = files
        self._answer = answer
        self._shelf: Shelf[dict[str, Any]] = Shelf()
        self._number = 0

    def create(self, body: Body) -> Reply:
        """Raises errors.Refused if the body is not a proper request."""
        for name in ("input_file_id", "endpoint", "completion_window"):
            if body.get(name) is None:
                raise errors.missing(name)
        checks.check(body, RULES)
        if body["endpoint"] not in ENDPOINTS:
            raise errors.invalid(f"Invalid value: '{body['endpoint']}'.", "endpoint", "invalid_value")
        if body["completion_window"] != "24h":
            raise errors.invalid("Invalid value for 'completion_window'.", "completion_window", "invalid_value")
        self._files.find(body["input_file_id"])
        self._number += 1
        batch = {
            "id": f"batch_{self._number:024x}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": CREATED,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": body.get("metadata"),
        }
        self._shelf.put(str(batch["id"]), batch)
        return Whole(orjson.dumps(batch))

    def list(self, query: dict[str, str]) -> Reply:
        return Whole(page(self._shelf.newest(), query))

    def show(self, id_: str) -> Reply:
        batch = self._find(id_)
        if batch["status"] == "validating":
            self._run(batch)
        elif batch["status"] == "cancelling":
            batch |= {"status": "cancelled", "cancelled_at": CREATED}
        return Whole(orjson.dumps(batch))

    def cancel(self, id_: str) -> Reply:
        batch = self._find(id_)
        if batch["status"] != "validating":
            raise errors.invalid(f"Cannot cancel a batch with status '{batch['status']}'.", status=409)
        batch |= {"status": "cancelling", "cancelling_at": CREATED}
        return Whole(orjson.dumps(batch))

    def _find(self, id_: str) -> dict[str, Any]:
        batch = self._shelf.get(id_)
        if batch is None:
            raise errors.invalid(f"No batch found with id '{id_}'.", status=404)
        return batch

    def _run(self, batch: dict[str, Any]) -> None:
        rows = [self._row(batch["id"], number, line) for number, line in enumerate(_lines(self._files, batch))]
        good = [row for row in rows if row["error"] is None]
        output = _keep(self._files, batch, "output", good)
        failed = _keep(self._files, batch, "error", [row for row in rows if row["error"] is not None])
        batch |= {
            "status": "completed",
            "in_progress_at": CREATED,
            "completed_at": CREATED,
            "output_file_id": output.row["id"] if output else None,
            "error_file_id": failed.row["id"] if failed else None,
            "request_counts": {"total": len(rows), "completed": len(good), "failed": len(rows) - len(good)},
            "usage": _usage([row["response"]["body"].get("usage") or {} for row in good]),
        }

    def _row(self, batch: str, number: int, line: bytes) -> dict[str, Any]:
        row: dict[str, Any] = {"id": f"{batch}_{number}", "custom_id": None, "response": None, "error": None}
        try:
            asked = orjson.loads(line)
            row["custom_id"] = asked["custom_id"]
            answer = self._answer(asked["url"], asked["body"])
        except errors.Refused as refused:
            row["error"] = orjson.loads(refused.body)["error"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            row["error"] = {"code": "invalid_json_line", "message": "This line is not a request."}
        else:
            body = orjson.loads(answer)
            row["response"] = {"status_code": 200, "request_id": f"req_{row['id']}", "body": body}
        return row


def _lines(files: Files, batch: dict[str, Any]) -> list[bytes]:
    lines = files.find(batch["input_file_id"]).read().splitlines()
    return [line for line in lines if line.strip()][:LINES_MAX]


def _keep(files: Files, batch: dict[str, Any], kind: str, rows: list[dict[str, Any]]) -> File | None:
    if not rows:
        return None
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    return files.keep(f"{batch['id']}_{kind}.jsonl", "batch_output", lines)


def _usage(usages: list[dict[str, Any]]) -> dict[str, Any]:
    read = sum(usage.get("prompt_tokens", usage.get("input_tokens", 0)) for usage in usages)
    written = sum(usage.get("completion_tokens", usage.get("output_tokens", 0)) for usage in usages)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
