"""Annotations made by people: boxes, masks, classes; one model of objects, readers of every format."""
