"""`/v1/analytics/…`: the original's graphs, groups and summary, with its filters and shapes, from our own measures.

Costs are cents there, durations milliseconds, rates percent. What is unknown is null, never 0: so is what of a time is
not kept any more, and `kept_since`, which the original has not, says from when on all is there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from control_plane.analytics import dimensions, names, portkey_filters, times
from control_plane.analytics.answer import Analyst, Answer, Order, Value, all_kept_since
from control_plane.analytics.measures import MEASURES
from control_plane.analytics.question import Question
from control_plane.analytics.scope import visible
from control_plane.db.pool import Database
from control_plane.errors import Invalid
from control_plane.filters.tree import quoted
from control_plane.web.listing import number
from control_plane.web.route import Call, Route, View
from shared.clock import Clock

STATUSES_MAX = 100
RETRIES_TOLD = 5
PAGE_SIZE_MAX = 100
PAGE_SIZE_DEFAULT = 20
GROUPS_MAX = 10_000
"""That can be paged through."""

Told = dict[str, Any]
Values = Mapping[str, Value]


class GraphAnswer(View):
    """Of one measure: of the whole time, and of each of its steps."""

    summary: Told
    data_points: tuple[Told, ...]
    object: str = "analytics-graph"
    kept_since: datetime | None = None
    """What lies before is kept no more: points are null where anything of them is gone, the summary where all of it
    is, and else of what is left. Null: everything asked for is kept.
    """


class SummaryAnswer(View):
    summary: Told
    object: str = "analytics-summary"
    kept_since: datetime | None = None
    """As of a graph."""


class GroupAnswer(View):
    """One page of groups, those with the most requests first."""

    object: str = "list"
    total: int | None
    """Null: nothing is kept of the whole time."""
    data: tuple[Told, ...]
    kept_since: datetime | None = None
    """As of a graph: what is counted is of what is left."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph whose points are each told by the same few measures."""

    path: str
    title: str
    measures: str
    summary: Callable[[Values], Told]
    point: Callable[[Values], Told]
    known: str = ""
    """A condition of our own, which every request counted meets."""


def _total(name: str) -> Callable[[Values], Told]:
    return lambda values: {"total": values[name]}


def _cents(usd: Value) -> float | None:
    return None if usd is None else float(Decimal(str(usd)) * 100)


def _ms(us: Value) -> float | None:
    return None if us is None else float(us) / 1000


def _percent(share: Value) -> float | None:
    return None if share is None else float(share) * 100


def _by(total: Value, count: Value) -> float | None:
    return None if total is None or not count else float(total) / float(count)


def _cost(values: Values) -> Told:
    total = _cents(values["cost_usd"])
    return {"total": total, "avg": _by(total, _less(values["requests"], values["cost_unknown"]))}


def _tokens(values: Values) -> Told:
    return {"total": values["tokens"], "avg": _tokens_each(values)}


def _tokens_each(values: Values) -> float | None:
    """Of the requests that say how many."""
    return _by(values["tokens"], _less(values["requests"], values["usage_unknown"]))


def _less(count: Value, unknown: Value) -> int | None:
    return None if count is None or unknown is None else _int(count) - _int(unknown)


def _sum(one: Value, other: Value) -> Value:
    return None if one is None or other is None else _int(one) + _int(other)


def _latency(values: Values) -> Told:
    return {name: _ms(values[f"duration_{name}_us"]) for name in ("avg", "p50", "p90", "p99")}


def _per_user(values: Values) -> float | None:
    return _by(values["requests"], values["users"])


GRAPHS = (
    Graph("requests", "Requests", "requests", _total("requests"), _total("requests")),
    Graph("errors", "Errors", "errors", _total("errors"), _total("errors")),
    Graph("users", "Different users", "users", _total("users"), _total("users")),
    Graph("cost", "Cost, in cents", "cost_usd requests cost_unknown", _cost, _cost),
    Graph("tokens", "Tokens", "tokens requests usage_unknown", _tokens, _tokens),
    Graph(
        "latency",
        "Duration, in milliseconds",
        "duration_avg_us duration_p50_us duration_p90_us duration_p99_us",
        _latency,
        _latency,
    ),
    Graph(
        "users/requests",
        "Requests of each user",
        "requests users",
        lambda values: {"total": values["requests"], "unique": values["users"], "avg": _per_user(values)},
        lambda values: {"avg": _per_user(values)},
        known="user:*",
    ),
    Graph(
        "errors/rate",
        "Errors among requests, in percent",
        "error_rate",
        lambda values: {"rate": _percent(values["error_rate"])},
        lambda values: {"rate": _percent(values["error_rate"])},
    ),
    Graph(
        "cache/latency",
        "Duration of answers from the cache, in milliseconds",
        "duration_avg_us",
        lambda values: {"avg": _ms(values["duration_avg_us"])},
        lambda values: {"avg": _ms(values["duration_avg_us"])},
        known="cache:hit,semantic_hit",
    ),
)


class PortkeyAnalytics:
    def __init__(self, database: Database, analyst: Analyst, clock: Clock) -> None:
        self._database = database
        self._analyst = analyst
        self._clock = clock

    def routes(self) -> list[Route]:
        graphs = [self._route(f"graphs/{g.path}", g.title, self._graph(g), GraphAnswer) for g in GRAPHS]
        return [
            *graphs,
            self._route("graphs/errors/stacks", "Errors by status, stacked", self.error_stacks, GraphAnswer),
            self._route("graphs/errors/status-codes", "Errors by status", self.status_codes, GraphAnswer),
            self._route("graphs/requests/rescued", "Rescued by a retry or a fallback", self.rescued, GraphAnswer),
            self._route("graphs/cache/hit-rate", "Hits of the cache", self.hit_rate, GraphAnswer),
            self._route("summary/cache", "What the cache did", self.cache_summary, SummaryAnswer),
            self._route("groups/users", "Users", self.users, GroupAnswer, paged=True),
            self._route("groups/ai-models", "Models", self.models, GroupAnswer, paged=True),
            self._route("groups/metadata/{key}", "Values of a metadata key", self.metadata, GroupAnswer, paged=True),
        ]

    @staticmethod
    def _route(path: str, title: str, handler: Any, answer: type[View], *, paged: bool = False) -> Route:
        pages = (("current_page", "From 0"), ("page_size", f"1 to {PAGE_SIZE_MAX}, {PAGE_SIZE_DEFAULT} by default"))
        return Route(
            "GET",
            f"/v1/analytics/{path}",
            "analytics.view",
            handler,
            title,
            answer=answer,
            query=(*portkey_filters.QUERY, *(pages if paged else ())),
            tag="portkey",
            operation="portkey_" + path.replace("/", "_").replace("-", "_").replace("{key}", "key"),
            abandons=True,
        )

    def _graph(self, graph: Graph) -> Callable[[Call], Any]:
        async def handle(call: Call) -> GraphAnswer:
            question = await self._question(call, graph.measures, known=graph.known)
            answer = await self._ask(question)
            points = tuple(
                {"timestamp": at, **graph.point({name: of[place] for name, of in answer.totals.points.items()})}
                for place, at in enumerate(_stamps(question))
            )
            summary = graph.summary(answer.totals.values)
            return GraphAnswer(summary=summary, data_points=points, kept_since=all_kept_since(answer))

        return handle

    async def error_stacks(self, call: Call) -> GraphAnswer:
        question = await self._question(call, "errors", by="status")
        answer = await self._ask(question, STATUSES_MAX, sort="errors")
        points = tuple(
            {"timestamp": at, "stats": _statuses(answer, place)} for place, at in enumerate(_stamps(question))
        )
        summary = {"total": answer.totals.values["errors"]}
        return GraphAnswer(summary=summary, data_points=points, kept_since=all_kept_since(answer))

    async def status_codes(self, call: Call) -> GraphAnswer:
        question = await self._question(call, "errors", by="status", steps=False)
        answer = await self._ask(question, STATUSES_MAX, sort="errors")
        found, total = _statuses(answer, None), answer.totals.values["errors"]
        points = tuple({"status_code": told["status"], "count": told["count"]} for told in found or ())
        summary = {"total_errors": total, "unique_error_codes": None if total is None else len(points)}
        return GraphAnswer(summary=summary, data_points=points, kept_since=all_kept_since(answer))

    async def rescued(self, call: Call) -> GraphAnswer:
        """`retry` says of each point how many were rescued by one retry, by two, … by so many or more."""
        retried = await self._question(call, "rescued", by="retries", known="fallbacks:0")
        fallen_back = await self._question(call, "rescued", known="fallbacks>0")
        by_retries, by_fallback = await self._ask(retried, STATUSES_MAX), await self._ask(fallen_back)
        points = []
        for place, at in enumerate(_stamps(retried)):
            counts: list[Value] = [_of_nobody(by_retries, "rescued", place)] * RETRIES_TOLD
            for (retries,), group in by_retries.by_key.items():
                if int(retries) > 0:
                    told = min(int(retries), RETRIES_TOLD) - 1
                    counts[told] = _sum(counts[told], group.points["rescued"][place])
            fallback = by_fallback.totals.points["rescued"][place]
            points.append({"timestamp": at, "retry": counts, "fallback": fallback})
        summary = {
            "retry": by_retries.totals.values["rescued"],
            "fallback": by_fallback.totals.values["rescued"],
        }
        kept = all_kept_since(by_retries, by_fallback)
        return GraphAnswer(summary=summary, data_points=tuple(points), kept_since=kept)

    async def hit_rate(self, call: Call) -> GraphAnswer:
        """What hits saved is not known: nobody says what an answer would have cost that was not asked for."""
        question = await self._question(call, "requests cache_hits cache_hit_rate", by="cache")
        answer = await self._ask(question, STATUSES_MAX)
        points = tuple(
            {
                "timestamp": at,
                "simple_hits": _of(answer, "hit", place),
                "semantic_hits": _of(answer, "semantic_hit", place),
                "rate": _percent(answer.totals.points["cache_hit_rate"][place]),
                "cumulative_simple_cache_savings": None,
                "cumulative_semantic_cache_savings": None,
            }
            for place, at in enumerate(_stamps(question))
        )
        values = answer.totals.values
        summary = {"total": values["cache_hits"], "rate": _percent(values["cache_hit_rate"])}
        return GraphAnswer(summary=summary, data_points=points, kept_since=all_kept_since(answer))

    async def cache_summary(self, call: Call) -> SummaryAnswer:
        """`cache_speedup`: how many times longer answers took that did not come from the cache."""
        measures = "requests cache_hits duration_avg_us"
        everything = await self._ask(await self._question(call, measures, steps=False))
        hits = await self._ask(await self._question(call, measures, known="cache:hit,semantic_hit", steps=False))
        rest = await self._ask(await self._question(call, measures, known="-cache:hit,semantic_hit", steps=False))
        fast, slow = hits.totals.values["duration_avg_us"], rest.totals.values["duration_avg_us"]
        return SummaryAnswer(
            summary={
                "hits": everything.totals.values["cache_hits"],
                "avg_latency": _ms(fast),
                "total_requests": everything.totals.values["requests"],
                "cache_speedup": _by(slow, fast),
            },
            kept_since=all_kept_since(everything, hits, rest),
        )

    async def users(self, call: Call) -> GroupAnswer:
        question = await self._question(call, "requests cost_usd", by="user", known="user:*", steps=False)
        return await self._groups(
            call,
            question,
            lambda key, v: {"user": key, "requests": v["requests"], "cost": _cents(v["cost_usd"])},
        )

    async def models(self, call: Call) -> GroupAnswer:
        question = await self._question(call, "requests", by="model", known="model:*", steps=False)
        return await self._groups(call, question, lambda key, v: {"ai_model": key, "requests": v["requests"]})

    async def metadata(self, call: Call) -> GroupAnswer:
        """There is no feedback yet: no request has any."""
        field = f"meta.{quoted(call.path['key'])}"
        measures = "requests cost_usd tokens usage_unknown last_seen"
        question = await self._question(call, measures, by=field, known=f"{field}:*", steps=False)
        return await self._groups(
            call,
            question,
            lambda key, v: {
                "metadata_value": key,
                "requests": v["requests"],
                "cost": _cents(v["cost_usd"]),
                "avg_tokens": _tokens_each(v),
                "avg_weighted_feedback": None,
                "requests_with_feedback": 0,
                "last_seen": v["last_seen"],
            },
        )

    async def _question(
        self, call: Call, measures: str, *, by: str = "", known: str = "", steps: bool = True
    ) -> Question:
        asked = portkey_filters.read_range(call.query, self._clock.wall_ms())
        filter_ = portkey_filters.also(portkey_filters.read_filter(call.query), known)
        async with self._database.tenant(call.principal.organisation) as connection:
            seen = await visible(connection, call.principal, call.query.get(portkey_filters.WORKSPACE))
            found = await names.resolved(connection, call.principal.organisation, filter_)
        utc = times.zone(None)
        step = times.step("auto", asked)
        return Question(
            seen,
            asked,
            tuple(MEASURES[name] for name in measures.split()),
            (dimensions.find(by),) if by else (),
            found,
            times.points(asked, step, utc) if steps and step is not None else (),
        )

    async def _ask(self, question: Question, limit: int = 1, *, sort: str = "requests") -> Answer:
        answer, _ = await self._analyst.ask(question, Order(MEASURES[sort], True, limit), compare=False)
        answer.without_cut()
        return answer

    async def _groups(self, call: Call, question: Question, told: Callable[[str, Values], Told]) -> GroupAnswer:
        page = _number(call, "current_page", 0, 0, GROUPS_MAX)
        size = _number(call, "page_size", PAGE_SIZE_DEFAULT, 1, PAGE_SIZE_MAX)
        if (page + 1) * size > GROUPS_MAX:
            raise Invalid(f"only the first {GROUPS_MAX} groups can be paged through", pointer="current_page")
        total, answer = await self._analyst.page(question, MEASURES["requests"], page * size, size)
        answer.without_cut()
        groups = answer.by_key.items()
        data = tuple({**told(key[0], group.values), "object": "analytics-group"} for key, group in groups)
        known = None if answer.totals.values["requests"] is None else total
        return GroupAnswer(total=known, data=data, kept_since=all_kept_since(answer))


def _stamps(question: Question) -> Sequence[str]:
    return [f"{point:%Y-%m-%dT%H:%M:%SZ}" for point in question.points]


def _statuses(answer: Answer, place: int | None) -> list[Told] | None:
    """Errors by status, in one step or (None) in the whole time; one that ended without a status has none. None: nobody
    knows.
    """
    if place is not None and answer.totals.points["errors"][place] is None:
        return None
    told = []
    for (status,), group in answer.by_key.items():
        errors = group.values["errors"] if place is None else group.points["errors"][place]
        if errors:
            told.append({"status": int(status) if status else None, "count": errors})
    return told


def _of(answer: Answer, cache: str, place: int) -> Value:
    group = answer.by_key.get((cache,))
    return _of_nobody(answer, "requests", place) if group is None else group.points["requests"][place]


def _of_nobody(answer: Answer, measure: str, place: int) -> Value:
    """What a key that is not there came to in a step: nothing, or nobody knows."""
    return None if answer.totals.points[measure][place] is None else 0


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _number(call: Call, name: str, default: int, least: int, most: int) -> int:
    return number(call.query.get(name, str(default)), least, most, name)
