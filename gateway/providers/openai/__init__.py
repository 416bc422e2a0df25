"""OpenAI's dialect, which is ours too: bytes pass through and only what is needed is read."""
