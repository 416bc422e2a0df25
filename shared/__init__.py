"""What both planes agree on: the nouns, the bytes, the locks. Does no I/O and imports no other package of ours."""
