"""Key management services by name; `local` keeps its master keys in a private file."""
