"""Providers that speak OpenAI's dialect and differ only in data: `table.toml`. The adapter is `openai/`'s."""
