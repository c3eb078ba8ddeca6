"""Train and test splits: reading and writing source lists."""
