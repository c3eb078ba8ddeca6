"""Which sources train and which test: reading and writing the lists."""
