"""`python -m embedded.smoke`: one paid call to a real provider, through a gateway started for it."""

import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import orjson

from embedded import provider_keys
from embedded.own_stack import own_stack

ANSWER_S_MAX = 60.0
TOKENS_MAX = 20


def main(environment: Mapping[str, str]) -> int:
    found = provider_keys.find(environment).keys
    if not found:
        print("no provider key in the environment: no real provider was called")
        return 0
    paid = found[0]
    with own_stack(environment) as stack:
        status, answer = call(stack.run, paid.provider, paid.smoke_model)
    if status != 200:
        print(f"{paid.provider}, {paid.smoke_model}: status {status}: {answer}", file=sys.stderr)
        return 1
    said, usage = answer["choices"][0]["message"]["content"], answer["usage"]
    print(f"{paid.provider}, {paid.smoke_model}: {said!r}, {usage['total_tokens']} tokens")
    return 0


def call(run: Mapping[str, Any], virtual_key: str, model: str) -> tuple[int, Any]:
    """Status and body of one chat completion through the gateway of `run` (what run.json holds)."""
    request = Request(  # noqa: S310 - the gateway's own address
        f"{run['gateway_url']}/v1/chat/completions",
        orjson.dumps(
            {
                "model": model,
                "messages": [{"role": "user", "content": "Say hello in one word."}],
                "max_tokens": TOKENS_MAX,
            }
        ),
        {
            "content-type": "application/json",
            "x-portkey-api-key": run["api_key"],
            "x-portkey-virtual-key": virtual_key,
        },
    )
    try:
        # Straight to the gateway on this machine, whatever proxy is set for the world outside.
        with build_opener(ProxyHandler({})).open(request, timeout=ANSWER_S_MAX) as answer:
            return answer.status, orjson.loads(answer.read())
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main(os.environ))
