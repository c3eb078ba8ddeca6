"""The HTTP server: endpoint, request guard, limits, page."""
