"""The graph of signed vertices and the order an anchor gives it. Pure."""
