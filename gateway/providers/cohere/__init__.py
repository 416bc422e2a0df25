"""Cohere's v2 API: chats near OpenAI's in their messages, far from them in their streams."""
