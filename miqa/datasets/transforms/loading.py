"""The first transform: read a file into an array."""

from __future__ import annotations

from miqa.pictures import read_image
from miqa.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage:
    """Decode the file ``path`` into ``picture``, uint8 (H, W, 3) RGB; or take ``packed``, which is already resized."""

    def __call__(self, results: dict) -> dict:
        """Add ``picture``; raises what :func:`miqa.pictures.read_image` raises."""
        packed = results.get('packed')
        results['picture'] = read_image(results['path']) if packed is None else packed
        return results
