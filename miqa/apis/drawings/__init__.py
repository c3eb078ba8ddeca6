"""Scores drawn on pictures and frames."""
