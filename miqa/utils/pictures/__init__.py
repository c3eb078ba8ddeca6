"""What :mod:`miqa.utils.images` is made of: headers of picture files, their decoders, and what their numbers mean."""
