"""The door `/v1/responses`: lists of items."""
