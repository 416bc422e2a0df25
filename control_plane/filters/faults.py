"""What is wrong with a filter's text, and where."""

from control_plane.errors import Invalid


class FilterFault(Invalid):
    """`position` is the place of the fault in the text, in characters from 0; `detail` says what is wanted instead."""

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(f"at character {position + 1}: {detail}", code="filter_invalid", pointer="filter")
        self.position = position
        self.extensions["position"] = position
