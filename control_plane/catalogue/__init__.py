"""The catalogue of models and prices: kept in the repository as `models.jsonl`, seeded into the database at start."""
