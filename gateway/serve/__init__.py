"""HTTP in: bytes to `Exchange`, `Answer` to bytes. The only room that knows aiohttp's server."""
