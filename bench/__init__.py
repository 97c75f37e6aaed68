"""Measurements: figures with the machine, versions and command that made them. Nothing asserts."""
