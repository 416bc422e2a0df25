"""The locks: sealing, signing, key delivery, API keys, and the type of a secret, which does not print."""
