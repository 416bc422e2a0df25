"""The columns of the table `record`, and how they are called after the fields of a record. Pure."""

from shared.models.record import FIELDS

SENDER: tuple[str, ...] = ("organisation", "gateway", "node", "batch_stream", "batch_seq", "received_at", "clamped")
"""What the control plane itself says of a record."""

_MONEY = "_picousd"


def column(field: str) -> str:
    """The column of a record's field: under its own name, but for its time and its money."""
    if field == "started_at_ms":
        return "started_at"
    return field.removesuffix(_MONEY) + "_usd" if field.endswith(_MONEY) else field


COLUMNS: tuple[str, ...] = (*SENDER, *map(column, FIELDS))
"""In the order in which a row's values are written."""
