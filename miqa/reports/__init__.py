"""Tables and plots from stored predictions."""
