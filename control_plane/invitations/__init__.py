"""Invitations: one-use links by which people join an organisation."""
