"""Controlled degradation of pictures: ten distortions of MIQD-2.5M and five more, on any CPU.

``distort(image, name, params, rng)`` makes one picture, ``candidates(name)`` lists the 12 parameter sets of a
distortion, ``select_levels`` picks five of them by PSNR, ``fuse`` joins two levels by a foreground mask, and
:func:`miqa.distortions.build.build_versions` writes a whole database.
"""

from miqa.taxonomy import DISTORTIONS, EXTRA_DISTORTIONS

from .apply import distort
from .compose import fuse, soft_mask
from .select import SelectedLevel, psnr, select_levels
from .severities import candidates

__all__ = [
    'DISTORTIONS',
    'EXTRA_DISTORTIONS',
    'SelectedLevel',
    'candidates',
    'distort',
    'fuse',
    'psnr',
    'select_levels',
    'soft_mask',
]
