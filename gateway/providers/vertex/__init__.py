"""Google's Vertex AI: Gemini's dialect, and Anthropic's, in a project and a region, for a service account."""
