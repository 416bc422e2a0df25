"""The door `/v1/messages`: turns of content blocks."""
