"""Tables and plots, made from dumped predictions alone."""
