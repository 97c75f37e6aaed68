"""Faults on real processes, under load: what was promised is checked. See docs/chaos.md."""
