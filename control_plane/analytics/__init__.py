"""Questions about records: what can be measured, by what, from which of the tables, and how the engine is asked."""
