"""What people marked in pictures: boxes, masks, classes; one model of objects, readers of every format."""
