"""Providers: where calls can go. Those of every build, and an organisation's own rows."""
