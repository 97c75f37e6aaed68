"""A client of the HTTP interface, for applications and the command line."""
