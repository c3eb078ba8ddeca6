"""The networks that score pictures, by method."""
