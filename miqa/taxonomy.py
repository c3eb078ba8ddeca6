"""Vocabulary: tasks, labels, distortions, levels, and file names that encode them.

Everything here follows MIQD-2.5M (Wang, Zhang, Lin, "Image Quality Assessment for Machines",
arXiv 2508.19850) and the files that its authors publish. Nothing here touches a disk.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import NamedTuple

TASKS = ('cls', 'det', 'ins')  # Machine vision tasks: classification, object detection, instance segmentation

#: Tasks that a database of your own may have: the paper's three, and semantic segmentation, which has no tables there.
DATABASE_TASKS = (*TASKS, 'seg')
#: What other projects call the tasks.
_TASK_WORDS = {
    **dict.fromkeys(('classification', 'classify'), 'cls'),
    **dict.fromkeys(('detection', 'detect'), 'det'),
    **dict.fromkeys(('segmentation', 'segment'), 'ins'),
}

LABELS = ('composite', 'consistency', 'accuracy')  # What a score predicts. composite = 0.5 consistency + 0.5 accuracy

SPLITS = ('train', 'val')  # Splits of a database. ``test`` is accepted as another word for ``val``
ALL_SPLITS = 'all'  # Both splits together, for cross-validation

#: The one table of distortions: family -> name -> module of :mod:`miqa.distortions` that holds the function of that
#: name and, in ``STRENGTHS``, its parameters. To add one, write that file and a line here. No name may end in ``_`` and
#: another name.
#: ``miqd``: the ten distortions of MIQD-2.5M, in the paper's order. ``extra``: further ones of the released generator
#: that MIQD-2.5M does not contain. ``camera``: what cameras do to pictures, in the order in which light passes them.
DISTORTION_FAMILIES: dict[str, dict[str, str]] = {
    'miqd': {
        'contrast': 'tone',
        'pixelate': 'digital',
        'jpeg_compression': 'digital',
        'motion_blur': 'blur',
        'defocus_blur': 'blur',
        'glass_blur': 'blur',
        'fog': 'weather',
        'snow': 'weather',
        'darkness': 'tone',
        'gaussian_noise': 'noise',
    },
    'extra': {
        'gaussian_blur': 'blur',
        'frost': 'frost',
        'brightness': 'tone',
        'saturate': 'tone',
        'impulse_noise': 'noise',
    },
    'camera': {
        'haze': 'camera.air',
        'rain_streaks': 'camera.air',
        'snow_flash': 'camera.air',
        'moving_object': 'camera.motion',
        'depth_of_field': 'camera.focus',
        'out_of_focus': 'camera.focus',
        'soft_lens': 'camera.lens',
        'lens_drops': 'camera.lens',
        'lens_flare': 'camera.glare',
        'veiling_glare': 'camera.glare',
        'camera_shake': 'camera.motion',
        'low_resolution': 'camera.lens',
        'rolling_bands': 'camera.exposure',
        'underexposure': 'camera.exposure',
        'overexposure': 'camera.exposure',
        'sensor_noise': 'camera.sensor',
        'low_light': 'camera.sensor',
        'coloured_light': 'camera.colour',
        'white_balance': 'camera.colour',
        'smeared_detail': 'camera.isp',
        'tone_curve': 'camera.isp',
        'sharpening_halos': 'camera.isp',
        'resize_chain': 'camera.isp',
        'jpeg_generations': 'camera.codec',
        'h264': 'camera.codec',
        'hevc': 'camera.codec',
        'camera_mixture': 'camera.mixture',
    },
}

DISTORTIONS = tuple(DISTORTION_FAMILIES['miqd'])  # The ten distortions of MIQD-2.5M, in the paper's order

#: Further distortions of the released generator that MIQD-2.5M does not contain.
EXTRA_DISTORTIONS = tuple(DISTORTION_FAMILIES['extra'])

#: What cameras do to pictures, in the order in which light passes them.
CAMERA_DISTORTIONS = tuple(DISTORTION_FAMILIES['camera'])

#: Every distortion that can be made.
ALL_DISTORTIONS = tuple(name for family in DISTORTION_FAMILIES.values() for name in family)

#: Words that may stand for distortions where some are asked for: families, all of them, and each name.
DISTORTION_WORDS = (*DISTORTION_FAMILIES, 'all', *ALL_DISTORTIONS)

#: A version without distortion: a captured picture beside a clean one of the same scene. Its level pair
#: is a number without meaning, in the order of :data:`LEVEL_PAIRS`.
CAPTURED = 'captured'

#: Every word that may stand for a distortion in the name of a version. Indexes of 0.2 number them in this order.
KNOWN_DISTORTIONS = tuple(dict.fromkeys((*DISTORTIONS, *EXTRA_DISTORTIONS, CAPTURED, *ALL_DISTORTIONS)))

LEVELS = (1, 2, 3, 4, 5)  # Strength of a distortion: 1 is hardly visible, 5 is severe

#: Where a distortion is stronger: everywhere alike, in the background, or in the foreground.
REGION_PATTERNS = ('uniform', 'bg_stronger', 'fg_stronger')

#: All 25 (foreground level, background level) pairs: 5 uniform, then 10 + 10 fused ones.
LEVEL_PAIRS = (
    tuple((level, level) for level in LEVELS)
    + tuple((fg, bg) for fg in LEVELS for bg in LEVELS if fg < bg)
    + tuple((fg, bg) for fg in LEVELS for bg in LEVELS if fg > bg)
)

#: Folder of a task's labels below the data root.
TASK_FOLDERS = {'cls': 'miqa_cls', 'det': 'miqa_det', 'ins': 'miqa_ins', 'seg': 'miqa_seg'}

#: The task whose images and split files a task uses: ``ins`` shares those of ``det``.
IMAGE_TASKS = {'cls': 'cls', 'det': 'det', 'ins': 'det', 'seg': 'seg'}

#: Methods of the released files, in the spelling of their names, and the name of the method's configs here.
RELEASED_METHODS = {
    'resnet18': 'resnet18',
    'resnet50': 'resnet50',
    'efficientnet_b1': 'efficientnet_b1',
    'efficientnet_b5': 'efficientnet_b5',
    'vit_small_patch16_224': 'vit_small',
    'ra_miqa': 'ra_miqa',
}

#: Standard deviation of the official test labels, (label, task) -> sigma, each within 0.0002.
#: Source: RMSE = sigma * sqrt(1 - PLCC^2) holds for every row of the paper's Tables 1 and 2.
TEST_LABEL_DEVIATIONS = {
    ('composite', 'cls'): 0.3008,
    ('composite', 'det'): 0.2835,
    ('composite', 'ins'): 0.2728,
    ('accuracy', 'cls'): 0.3588,
    ('accuracy', 'det'): 0.2833,
    ('accuracy', 'ins'): 0.2695,
    ('consistency', 'cls'): 0.2805,
    ('consistency', 'det'): 0.3088,
    ('consistency', 'ins'): 0.3031,
}

_NAME = re.compile(
    r'(?P<source>.+)_(?P<distortion>' + '|'.join(KNOWN_DISTORTIONS) + r')_'
    r'(?:(?P<level>[1-5])|(?P<pattern>fg_stronger|bg_stronger)_fg(?P<fg>[1-5])_bg(?P<bg>[1-5]))'
    r'(?P<suffix>\.[A-Za-z0-9]+)?'
)


class Version(NamedTuple):
    """One distorted version of a source image: which source, which distortion, how strong where."""

    source: str
    distortion: str
    fg_level: int
    bg_level: int

    @property
    def region_pattern(self) -> str:
        """One of :data:`REGION_PATTERNS`."""
        return region_pattern(self.fg_level, self.bg_level)


#: The measures of MIQD-2.5M's quality files, in the order of their columns.
MEASURES = ('PSNR', 'SSIM', 'MS-SSIM', 'VIF-p', 'VSI')

DEFAULT_MEASURES = ('PSNR', 'SSIM')  # Default columns of a database's quality tables: half the cost of all


def region_pattern(fg_level: int, bg_level: int) -> str:
    """Name the region pattern of a level pair: ``uniform``, ``bg_stronger`` or ``fg_stronger``."""
    if fg_level == bg_level:
        return 'uniform'
    return 'bg_stronger' if fg_level < bg_level else 'fg_stronger'


def version_name(version: Version, suffix: str = '.png') -> str:
    """Write MIQD's file name of a version, such as ``000000000139_snow_bg_stronger_fg1_bg4.png``.

    Raises:
        ValueError: the distortion or a level is unknown.
    """
    check_choice(version.distortion, KNOWN_DISTORTIONS, 'distortion')
    for level in (version.fg_level, version.bg_level):
        check_choice(level, LEVELS, 'level')
    pattern = version.region_pattern
    if pattern == 'uniform':
        tail = str(version.fg_level)
    else:
        tail = f'{pattern}_fg{version.fg_level}_bg{version.bg_level}'
    return f'{version.source}_{version.distortion}_{tail}{suffix}'


def parse_version_name(name: str) -> Version:
    """Read a version from MIQD's file name (no folder; any or no file suffix).

    Raises:
        ValueError: the name does not follow the database's pattern.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is not a MIQD file name. Expected '<id>_<distortion>_<1-5>.png' or "
            f"'<id>_<distortion>_fg_stronger_fg<i>_bg<j>.png' (or bg_stronger), "
            f'with a distortion out of: {", ".join(KNOWN_DISTORTIONS)}.'
        )
    if match['level']:
        fg = bg = int(match['level'])
    else:
        fg, bg = int(match['fg']), int(match['bg'])
        if region_pattern(fg, bg) != match['pattern']:
            raise ValueError(
                f'{name!r} says {match["pattern"]}, but its levels are foreground {fg} and background {bg}.'
            )
    return Version(match['source'], match['distortion'], fg, bg)


def distortions_named(words: Iterable[str]) -> tuple[str, ...]:
    """Return the distortions that words stand for: names, families (``miqd``, ``extra``, ``camera``) and ``all``.

    A distortion that a family brings and that is there already is not repeated.

    Raises:
        ValueError: a word stands for none.
    """
    names: list[str] = []
    for word in words:
        check_choice(word, DISTORTION_WORDS, 'distortion')
        if word == 'all' or word in DISTORTION_FAMILIES:
            names += [name for name in DISTORTION_FAMILIES.get(word, ALL_DISTORTIONS) if name not in names]
        else:
            names.append(word)
    return tuple(names)


def split_name(split: str) -> str:
    """Return ``train``, ``val`` or ``all``; ``test`` is another word for ``val``.

    Raises:
        ValueError: it is none of the four.
    """
    check_choice(split, (*SPLITS, 'test', ALL_SPLITS), 'split')
    return 'val' if split == 'test' else split


def check_choice(value, allowed, name: str):
    """Return ``value`` if it is one of ``allowed``; else raise a ValueError that suggests the nearest one."""
    allowed = tuple(allowed)
    if value in allowed:
        return value
    hint = did_you_mean(value, allowed)
    raise ValueError(f'Unknown {name} {value!r}.{hint} Choose one of: {", ".join(map(str, allowed))}.')


def check_whole_number(name: str, value: object, least: int = 1) -> None:
    """Raise a ValueError unless a value is a whole number of at least ``least``."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f'{name} must be at least {least} and a whole number, not {value!r}.')


_CONFIG = '.py'


def counted(count: int, instance: str) -> str:
    """Return a number and what it counts: ``1 image``, ``12 images``; ``thing`` is a noun that takes an s."""
    return f'{count} {instance}{"" if count == 1 else "s"}'


def did_you_mean(value, known: Iterable, write: Callable[[str], str] = str) -> str:
    """Return the sentence that suggests the nearest of the ``known`` names, with a space before it; '' if none is near.

    Args:
        value: what was written.
        known: the names that exist.
        write: turns the nearest one into what the user should write.
    """
    # Dashes before options, and an ending that both have, make no names alike.
    names = {str(name).removesuffix(_CONFIG).lstrip('-'): str(name) for name in known}
    written = str(value).removesuffix(_CONFIG).lstrip('-')
    near = [names[name] for name in difflib.get_close_matches(written, names, n=1)]
    near = near or [names[task] for task in [_TASK_WORDS.get(written.lower())] if task in names]
    return f' Did you mean {write(near[0])!r}?' if near else ''
