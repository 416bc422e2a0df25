"""HTTP out: the only room that opens sockets to providers. Knows no provider."""
