"""A stand-in for a provider: speaks OpenAI's API, answers deterministically, and misbehaves when asked to."""
