"""What a node keeps on disk: the vote journal, the database, and the directory of both."""
