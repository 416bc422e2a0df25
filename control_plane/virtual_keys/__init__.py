"""Virtual keys: stored provider credentials, which come in and never go out again but sealed."""
