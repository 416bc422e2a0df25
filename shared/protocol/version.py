"""The protocol's name and numbers. The history of its versions is in `sync_protocol.md`, section 18."""

PROTOCOL = "GHS/1"
OLDEST = 1
"""The oldest version this build speaks."""
NEWEST = 1
