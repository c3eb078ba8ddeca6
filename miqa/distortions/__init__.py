"""Controlled degradation of pictures: ten distortions of MIQD-2.5M, five more, and what cameras do, on any CPU.

``apply_distortion(image, name, level, seed)`` makes one level of any distortion, ``random_camera_damage(image, rng)``
draws a mixture as cameras make it. ``distort(image, name, params, rng)`` takes parameters, ``candidates(name)`` lists
them, ``select_levels`` makes the five levels that a database holds, ``fuse`` joins two levels by a foreground mask, and
:func:`miqa.distortions.build.build_versions` writes a whole database.
"""

from miqa.taxonomy import ALL_DISTORTIONS, CAMERA_DISTORTIONS, DISTORTIONS, EXTRA_DISTORTIONS

from .apply import distort
from .at_random import Damage, apply_distortion, random_camera_damage
from .compose import fuse, soft_mask
from .select import SelectedLevel, psnr, select_levels
from .severities import candidates, strength_at

__all__ = [
    'ALL_DISTORTIONS',
    'CAMERA_DISTORTIONS',
    'DISTORTIONS',
    'EXTRA_DISTORTIONS',
    'Damage',
    'SelectedLevel',
    'apply_distortion',
    'candidates',
    'distort',
    'fuse',
    'psnr',
    'random_camera_damage',
    'select_levels',
    'soft_mask',
    'strength_at',
]
