"""Admin keys: how programs use this API, each for no more than its scopes."""
