"""Records and money: what nodes tell of requests, counted once, and the questions that can be asked of it."""
