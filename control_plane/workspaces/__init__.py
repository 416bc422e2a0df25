"""Workspaces: where keys, configs and virtual keys live, and what calls in them may do."""
