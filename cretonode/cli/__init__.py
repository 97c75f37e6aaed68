"""The `cretonode` command."""
