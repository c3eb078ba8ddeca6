"""The public import name of MIQA."""
