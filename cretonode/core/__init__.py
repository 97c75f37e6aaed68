"""The consensus itself: events in, effects out. Pure."""
