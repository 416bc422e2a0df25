"""Members: people in an organisation and in its workspaces, with their roles."""
