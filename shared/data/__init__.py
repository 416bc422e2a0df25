"""Data both planes read as it is: which providers need no sync to be known."""
