"""What a frozen classifier or detector answers to a picture, as statistics that a model can learn from."""
