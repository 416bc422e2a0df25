"""Holds the current view. A request takes it once and keeps it to its end."""

from gateway.view.view import ConfigView


class ViewHolder:
    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current: ConfigView | None = None

    def swap(self, view: ConfigView) -> None:
        self.current = view
