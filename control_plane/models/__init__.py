"""Models: the catalogue as people read it, with what each costs now."""
