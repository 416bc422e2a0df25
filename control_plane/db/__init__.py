"""PostgreSQL: transactions that see one organisation, and numbered migrations. Everything else is SQL in the rooms."""
