"""Provokes both planes as processes: kills their parts, edits under load, and counts what was lost."""
