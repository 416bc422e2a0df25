"""AWS Bedrock: Converse and ConverseStream for chats, Invoke for embeddings, each request signed."""
