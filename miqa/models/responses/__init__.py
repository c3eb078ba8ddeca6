"""Statistics of a frozen classifier's or detector's response, as model inputs."""
