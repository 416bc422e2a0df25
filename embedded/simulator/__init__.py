"""A stand-in for a provider: speaks several APIs, answers deterministically, misbehaves when asked to."""
