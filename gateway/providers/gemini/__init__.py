"""Google's Gemini API: chats as contents of parts, streams as whole answers bit by bit."""
