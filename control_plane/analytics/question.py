"""A question: what is measured, by what, when, and of whose records (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from control_plane.analytics.dimensions import Dimension
from control_plane.analytics.measures import Family, Measure
from control_plane.analytics.times import Range
from control_plane.filters.tree import Filter

Key = tuple[str, ...]
"""A value of each dimension, as a text; empty where it is unknown."""


@dataclass(frozen=True, slots=True)
class Visible:
    """Whose records may be counted at all."""

    organisation: str
    workspaces: tuple[str, ...] | None
    """None: every one, and records without one."""


@dataclass(frozen=True, slots=True)
class Question:
    visible: Visible
    range: Range
    measures: tuple[Measure, ...]
    dimensions: tuple[Dimension, ...] = ()
    filter: Filter = field(default_factory=Filter)
    points: tuple[datetime, ...] = ()
    """Where each step begins, in order; none: no steps."""

    @property
    def families(self) -> Sequence[Family]:
        wanted = {measure.family for measure in self.measures}
        return [family for family in Family if family in wanted]

    def of(self, family: Family) -> tuple[Measure, ...]:
        return tuple(measure for measure in self.measures if measure.family is family)
