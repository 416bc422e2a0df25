"""The gateways' door: enrolment, heartbeats and watches of nodes (`sync_protocol.md`)."""
