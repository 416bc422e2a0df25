"""The protocol's name. The history of its versions is in `sync_protocol.md`, section 11."""

PROTOCOL = "GHS/1"
