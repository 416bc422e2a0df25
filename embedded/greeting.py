"""What `up` prints when everything is ready: addresses, login, keys, and two calls that work as they stand."""

from pathlib import Path

from embedded.stack import Running


def text(running: Running, *, took_s: float, logs: Path, stop: str) -> str:
    """`took_s`: how long the start took; `stop`: how to stop it."""
    url, key = running.gateway_url, running.api_key.reveal_text()
    return f"""
Gatehouse is ready ({took_s:.1f} s).

  panel          {running.control_plane_url}   (open it in a browser and log in)
  log in as      {running.owner.email}   password {running.owner.password.reveal_text()}
  control plane  {running.control_plane_url}/api/v1   (described at {running.control_plane_url}/api)
  admin key      {running.admin_key.reveal_text()}
  gateway        {url}
  workspace      {running.workspace}
  API key        {key}
  simulator      {running.simulator_url}   (a stand-in provider; no account needed)

Try it:

  curl {url}/v1/chat/completions \\
    -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "sim-chat", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Or from Python, with the openai package as it is:

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  print(client.chat.completions.create(model="sim-chat", messages=[{{"role": "user", "content": "Hello"}}]))

Then see what came of it in the panel; ./scripts/demo-traffic sends more.

  logs           {logs}
  stop           {stop}
"""
