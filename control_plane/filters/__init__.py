"""The one filter language: text, checked against a list's fields, to a typed tree, to SQL with parameters. Pure."""
