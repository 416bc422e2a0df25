"""The bench: what a call through the gateway costs in CPU, beside a bare aiohttp pass-through; not in the wheel."""
