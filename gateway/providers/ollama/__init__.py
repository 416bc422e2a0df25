"""Ollama's own API: texts with pictures beside them, options of the runner, and streams of JSON by the line."""
