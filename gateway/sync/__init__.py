"""How the configuration arrives: verified, kept sealed in Redis and on disk, handed to the view."""
