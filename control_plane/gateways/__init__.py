"""Gateways: registered data planes, the tokens that let nodes in, and how each node is."""
