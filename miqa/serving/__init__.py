"""One HTTP server: endpoint, request guard, limits, and the page."""
