"""The local socket by which people watch and steer a node."""
