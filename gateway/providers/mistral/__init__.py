"""Mistral's API: chats near OpenAI's, whose contents may be lists of chunks, thoughts among them."""
