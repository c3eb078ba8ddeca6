"""Export models: one file for each format, and one table of them."""
