"""The OpenAPI description as a page one can read: plain HTML, no script (pure)."""

import base64
import hashlib
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}"
    "code{font:14px ui-monospace,monospace}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}"
    "dt{margin-top:1rem}dd{margin-left:1.5rem}b{display:inline-block;min-width:4.5rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}h2{border-color:#444}a{color:#8ab4f8}}"
)


POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)
"""The page's Content-Security-Policy: its own style and nothing else."""


def render(description: dict[str, Any]) -> str:
    """One section for each tag, one entry for each operation, with its parameters and bodies."""
    sections: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            sections.setdefault(operation["tags"][0], []).append(_entry(method, path, operation, description))
    body = "".join(f"<h2>{escape(tag)}</h2><dl>{''.join(entries)}</dl>" for tag, entries in sections.items())
    title = escape(description["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}: API {escape(description['info']['version'])}</h1>"
        "<p>Send an admin key as <code>Authorization: Bearer gha_…</code>. Errors are problem documents (RFC 9457) with"
        ' a JSON pointer. The whole description: <a href="/api/openapi.json">/api/openapi.json</a>.</p>'
        f"{body}</body></html>"
    )


def _entry(method: str, path: str, operation: dict[str, Any], description: dict[str, Any]) -> str:
    parts = [f"<dd>{escape(operation['summary'])}. {escape(operation['description']).replace('`', '')}</dd>"]
    query = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
    if query:
        parts.append(f"<dd>Query: <code>{escape(', '.join(query))}</code></dd>")
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"<dd>Body: {_fields(schema, description)}</dd>")
    for status, answer in operation["responses"].items():
        if "application/json" in answer.get("content", {}):
            schema = answer["content"]["application/json"]["schema"]
            parts.append(f"<dd>{escape(status)}: {_fields(schema, description)}</dd>")
    return f"<dt><b>{escape(method.upper())}</b> <code>{escape(path)}</code></dt>{''.join(parts)}"


def _fields(schema: dict[str, Any], description: dict[str, Any]) -> str:
    """The names of an object's fields, the required ones marked."""
    found = description["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    required = set(found.get("required", ()))
    names = [f"{name}*" if name in required else name for name in found.get("properties", {})]
    return f"<code>{escape(', '.join(names))}</code>"
