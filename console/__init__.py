"""`creto-console`: the dashboard of a running node."""
