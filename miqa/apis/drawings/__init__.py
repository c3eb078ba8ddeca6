"""Draw scores on pictures and frames."""
