"""The Messages API: turns of typed blocks, and a stream of block after block."""
