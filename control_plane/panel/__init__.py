"""The panel's door: serves what `scripts/build-ui` made, and has no privilege: what it shows comes from the API."""
