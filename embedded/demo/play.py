"""The play: requests of teams at a steady rate through the gateway, some of them mistaken; each ending is counted."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from embedded.demo.script import Script, Team
from shared.crypto.api_keys import new_api_key
from shared.crypto.secret import Secret

STREAMS = 0.4
"""Share of the requests whose answer is asked for as a stream."""
USERS = 40
ANSWER_S_MAX = 30.0
LEAVE_S = 0.05
AT_ONCE_MAX = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One request of the play."""

    key: Secret = field(repr=False)
    door: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    leaves: bool = False


class Play:
    def __init__(self, script: Script, keys: Mapping[str, Secret], chance: random.Random) -> None:
        self._script = script
        self._keys = keys
        self._chance = chance

    def line(self) -> Line:
        """The next request."""
        chance, mistakes = self._chance, self._script.mistakes
        team = chance.choices(self._script.teams, [team.weight for team in self._script.teams])[0]
        model = chance.choice(team.models)
        drawn = chance.random()
        if drawn < mistakes.unknown_key:
            return self._line(team, model, new_api_key())
        drawn -= mistakes.unknown_key
        if drawn < mistakes.unknown_virtual_key:
            return self._line(team, "@nowhere/some-model", self._keys[team.name])
        drawn -= mistakes.unknown_virtual_key
        if drawn < mistakes.forbidden_model:
            return self._line(team, team.models[-1] or "some-model", self._keys["narrow"])
        drawn -= mistakes.forbidden_model
        return self._line(team, model, self._keys[team.name], leaves=drawn < mistakes.leaves)

    def _line(self, team: Team, model: str, key: Secret, *, leaves: bool = False) -> Line:
        chance = self._chance
        metadata = {"team": team.name, "feature": chance.choice(team.features)}
        headers = {"x-portkey-metadata": orjson.dumps(metadata).decode()}
        user = f"user-{chance.randrange(USERS)}"
        if "embedding" in model:
            return Line(key, "embeddings", {"model": model, "input": "A text.", "user": user}, headers, leaves)
        message = {"role": "user", "content": "A question of the demonstration."}
        # Who leaves the model to the config still names one, as OpenAI's clients do.
        body: dict[str, Any] = {"model": model or "by-config", "messages": [message], "user": user}
        if leaves or chance.random() < STREAMS:
            body["stream"] = True
        return Line(key, "chat/completions", body, headers, leaves)

    async def run(
        self, url: str, *, requests: int, rate: float, report: Callable[[int, Counter[str]], None]
    ) -> Counter[str]:
        """Send `requests` of them, `rate` a second. How they ended: a status, `left` or `no answer`."""
        ended: Counter[str] = Counter()
        turns = asyncio.Semaphore(AT_ONCE_MAX)
        timeout = ClientTimeout(total=ANSWER_S_MAX)
        async with ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:

            async def say(line: Line) -> None:
                async with turns:
                    ended[await _sent(session, url, line)] += 1
                report(ended.total(), ended)

            for _ in range(requests):
                group.create_task(say(self.line()))
                await asyncio.sleep(self._chance.expovariate(rate))
        return ended


async def _sent(session: ClientSession, url: str, line: Line) -> str:
    headers = {"authorization": f"Bearer {line.key.reveal_text()}", "content-type": "application/json", **line.headers}
    try:
        async with session.post(f"{url}/v1/{line.door}", data=orjson.dumps(line.body), headers=headers) as answer:
            if line.leaves:
                await asyncio.sleep(LEAVE_S)
                answer.close()
                return "left"
            await answer.read()
            return str(answer.status)
    except (ClientError, TimeoutError):
        return "no answer"
