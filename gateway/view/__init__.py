"""The configuration as a request sees it: compiled once, frozen, swapped whole."""
