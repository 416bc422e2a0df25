"""Names in a filter that stand for ids: which they are, and the filter with the ids they were found to be (pure).

A value that names something stays in the filter as it is, as an id: what was deleted long ago is still found by it.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from control_plane.filters.fields import Type
from control_plane.filters.tree import Condition, Filter, Ids, Prefix, Text

Named = tuple[str, Text | Prefix]
"""The field, and what is said of it."""


def named(filter_: Filter) -> frozenset[Named]:
    """What is to be looked up."""
    return frozenset(found for condition in filter_.conditions for found in _named(condition))


def with_ids(filter_: Filter, found: Mapping[Named, Collection[str]]) -> Filter:
    """The same filter, where each name also stands for the ids found for it."""
    return Filter(tuple(_with_ids(condition, found) for condition in filter_.conditions))


def _with_ids(condition: Condition, found: Mapping[Named, Collection[str]]) -> Condition:
    ids = sorted({id_ for name in _named(condition) for id_ in found.get(name, ())})
    return replace(condition, values=(*condition.values, Ids(tuple(ids)))) if ids else condition


def _named(condition: Condition) -> list[Named]:
    if condition.field.type is not Type.NAME:
        return []
    return [(condition.field.name, value) for value in condition.values if isinstance(value, Text | Prefix)]
