"""Records of requests, one by one: lists of them, one with all it holds, and those that have just come."""
