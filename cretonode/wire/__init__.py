"""How messages become bytes and back. Pure."""
