"""Rerank: documents by how many of the query's words they hold. Pure.

Several vendors' common shape: `results` of `index` and `relevance_score`, and what it used in `usage` and in `meta`.
"""

from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.checks import Body

DOCUMENTS_MAX = 1_000
RULES = {
    "query": checks.STRING,
    "documents": checks.ARRAY,
    "top_n": checks.integer(1, DOCUMENTS_MAX),
    "return_documents": checks.BOOLEAN,
}


def answer(body: Body) -> bytes:
    """Raises errors.Refused if the body is not a proper request."""
    for name in ("query", "documents"):
        if body.get(name) is None:
            raise errors.missing(name)
    checks.check(body, RULES)
    texts = [_text(index, document) for index, document in enumerate(body["documents"])]
    if not 1 <= len(texts) <= DOCUMENTS_MAX:
        raise errors.invalid(f"Invalid 'documents': from 1 to {DOCUMENTS_MAX}.", "documents")
    wanted = set(body["query"].lower().split())
    scores = [_score(wanted, text) for text in texts]
    best = sorted(range(len(texts)), key=lambda index: (-scores[index], index))[: body.get("top_n") or len(texts)]
    count = tokens.count(body["query"]) * len(texts) + sum(map(tokens.count, texts))
    return orjson.dumps(
        {
            "id": f"rerank-{checks.digest(body)[:29]}",
            "object": "list",
            "model": body["model"],
            "results": [_row(index, scores[index], texts[index], body) for index in best],
            "usage": {"prompt_tokens": count, "total_tokens": count},
            "meta": {"billed_units": {"search_units": 1}},
        }
    )


def _text(index: int, document: Any) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        raise errors.wrong_type(f"documents[{index}]", "a string or an object with a text", document)
    return text


def _score(wanted: set[str], text: str) -> float:
    return round(len(wanted & set(text.lower().split())) / max(len(wanted), 1), 6)


def _row(index: int, score: float, text: str, body: Body) -> dict[str, Any]:
    row: dict[str, Any] = {"index": index, "relevance_score": score}
    return {**row, "document": {"text": text}} if body.get("return_documents") else row
