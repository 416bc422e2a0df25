"""The bytes of the sync protocol, clause by clause (`sync_protocol.md`): canonical form, envelope, digest, lease."""
