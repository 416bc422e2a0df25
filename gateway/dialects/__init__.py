"""Doors that say what a chat says in words of their own: pure translation between each of them and chat. No I/O."""
