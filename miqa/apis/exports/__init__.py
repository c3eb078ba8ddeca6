"""Models as files for use elsewhere: one file for each format, and one table of them."""
