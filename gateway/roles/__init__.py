"""A node's roles: each module makes the parts of one kind of process of settings, and is loaded where that begins."""
