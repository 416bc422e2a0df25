"""Prices: what an organisation pays where that is not what the catalogue says."""
