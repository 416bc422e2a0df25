"""What `up` prints when everything is ready: the addresses, the key, and two calls that work as they stand."""

from pathlib import Path

from embedded.local_file import WORKSPACE
from shared.crypto.secret import Secret


def text(*, gateway_url: str, simulator_url: str, api_key: Secret, logs: Path, stop: str) -> str:
    """`stop`: how to stop it."""
    key = api_key.reveal_text()
    return f"""
Gatehouse is ready.

  gateway     {gateway_url}
  workspace   {WORKSPACE}
  API key     {key}
  simulator   {simulator_url}   (a stand-in provider; no account needed)

Try it:

  curl {gateway_url}/v1/chat/completions \\
    -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "sim-chat", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Or from Python, with the openai package as it is:

  from openai import OpenAI
  client = OpenAI(base_url="{gateway_url}/v1", api_key="{key}")
  print(client.chat.completions.create(model="sim-chat", messages=[{{"role": "user", "content": "Hello"}}]))

  logs        {logs}
  stop        {stop}
"""
