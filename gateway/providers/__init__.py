"""Formats only: pure translators between our dialect and each provider's. No I/O, no await, one folder each."""
