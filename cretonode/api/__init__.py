"""The HTTP interface for applications. The only importer of Quart and Hypercorn."""
