"""The protocol's name. The history of its versions is in `sync_protocol.md`, section 12."""

PROTOCOL = "GHS/1"
