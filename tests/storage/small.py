"""A database with the smallest buffers: flushes and compactions come after little data."""

from cretonode.storage.backend import DatabaseOptions


def small_options() -> DatabaseOptions:
    """Return the options: at most about 48 MB of memory in all."""
    return DatabaseOptions(
        cache_size_mb=12,
        write_buffer_mb=2,
        write_buffers_max=4,
        max_open_files=64,
        file_size_mb=8,
        background_threads=2,
    )
