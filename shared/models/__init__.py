"""The nouns both planes speak. What travels is parsed here, at the door; what is used is compiled elsewhere."""
