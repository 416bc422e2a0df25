"""How much at most, of everything that could be too much."""

READERS = 4
WRITERS = 2
"""Statements that run at once. INSERTs have threads of their own: they never wait behind slow questions."""

REQUESTS_MAX = 256
"""Being read, waiting or running."""
BODY_BYTES_MAX = 64 * 1024 * 1024
"""Of one request, as sent and when decompressed."""
BODIES_BYTES_MAX = 256 * 1024 * 1024
"""Of all requests that are being read, wait or run."""
BODY_S_MAX = 60.0
"""How long a caller may take to send its body."""
LINE_BYTES_MAX = 256 * 1024
"""Of a request's first line: parameters and settings stand in it."""
FORM_FIELDS_MAX = 1_000
ANSWER_BYTES_MAX = 64 * 1024 * 1024

TEXT_BYTES_MAX = 1024 * 1024
"""Of a statement that is no INSERT; the engine itself reads 256 KiB unless told to read more."""
STATEMENT_S_MAX = 300
"""Unless its own settings say otherwise; as long as the client waits by itself."""
MEMORY_BYTES_MAX = 1024 * 1024 * 1024
"""Of all statements together, as the engine counts; the process needs about 250 MB besides."""
STATEMENT_BYTES_MAX = 512 * 1024 * 1024
"""Of memory, for one statement, unless its own settings say otherwise."""
MARK_CACHE_BYTES_MAX = 64 * 1024 * 1024
THREADS_MAX = 2
"""For one statement."""

DRAIN_S = 5.0
"""How long running statements may go on after a stop was asked for."""
