"""The demo's test photographs, and its random seed."""

from __future__ import annotations

from miqa.pictures.package_photos import PackagePhoto
from miqa.running import generator_for

#: Share of the photographs that are kept for testing: MIQD's own share is a fifth; a few more give a steadier figure.
VAL_SHARE = 0.25

SEED = 1234567  # Seed of the split, of the choice of versions and of the distortions


def in_order(photos: list[PackagePhoto], seed: int = SEED) -> list[PackagePhoto]:
    """Mix photographs: the order decides split and versions, and must not follow packages or the classes in one."""
    return [photos[i] for i in generator_for(seed, 'order of photographs').permutation(len(photos))]


def held_out(photos: list[PackagePhoto]) -> int:
    """Return how many photographs, the first ones in order, are the demo's test set."""
    return round(VAL_SHARE * len(photos))
