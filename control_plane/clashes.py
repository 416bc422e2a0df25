"""What a constraint of the schema means to a caller: one table, so that no room has to know how it is spelled."""

from control_plane.db.errors import Clash
from control_plane.errors import Conflict

_TABLE = {
    "config_workspace_slug_key": ("/slug", "a config with this slug is there already"),
    "virtual_key_workspace_slug_key": ("/slug", "a virtual key with this slug is there already"),
    "workspace_organisation_slug_key": ("/slug", "a workspace with this slug is there already"),
    "provider_pkey": ("/id", "a provider with this id is there already"),
    "own_price_day_key": ("/valid_from", "a price for the same provider and model from this day is there already"),
    "account_email_key": ("/email", "somebody with this e-mail address is there already"),
    "config_organisation_workspace_fkey": (None, "no such workspace"),
    "virtual_key_organisation_workspace_fkey": (None, "no such workspace"),
    "api_key_organisation_workspace_fkey": (None, "no such workspace"),
}


def told(clash: Clash) -> Conflict:
    """The clash in a caller's words, with the field it is about."""
    pointer, detail = _TABLE.get(clash.constraint, (None, clash.detail))
    return Conflict(detail, pointer=pointer)
