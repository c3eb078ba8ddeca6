"""Serving over HTTP: what the page and the scoring endpoint share, and the endpoint itself."""
