"""One running node: the core, its disk, its peers, its clients, and who owns which task."""
