"""A gate before a vision model: select good pictures, and never modify the others."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from miqa.keeping import atomic_write, sha256_of_file
from miqa.keeping.files import try_folder
from miqa.outside import copy_regular
from miqa.outside.walking import check_target
from miqa.taxonomy import check_choice

MODES = ('copy', 'link', 'hardlink')  # How the good pictures reach the new folder. ``link`` makes symbolic links


def choose(scores: ArrayLike, keep: float | None = None, threshold: float | None = None) -> np.ndarray:
    """Tell which pictures are good, by exactly one of ``keep`` and ``threshold``.

    Args:
        scores: shape (N,), finite, higher is better.
        keep: the share of the pictures to keep, those with the highest scores: ``N - round((1 - keep) * N)`` of
            them. Of equal scores the earlier ones are kept.
        threshold: keep the pictures with at least this score.

    Returns:
        bool, shape (N,).

    Raises:
        ValueError: neither or both are given, the share is not in (0, 1], the threshold is NaN, or a score not finite.
    """
    scores = np.asarray(scores, np.float64).ravel()
    if (keep is None) == (threshold is None):
        raise ValueError('Give either the share of pictures to keep or a threshold, not both.')
    if not np.isfinite(scores).all():
        raise ValueError('Scores must be finite numbers.')
    if threshold is not None:
        if math.isnan(threshold):
            raise ValueError('The threshold must be a number, not nan, which no score reaches.')
        return scores >= threshold
    if keep is None or not 0 < keep <= 1:
        raise ValueError(f'The share of pictures to keep must be above 0 and at most 1, not {keep}.')
    chosen = np.zeros(len(scores), bool)
    count = len(scores) - round((1 - keep) * len(scores))
    chosen[np.argsort(-scores, kind='stable')[:count]] = True
    return chosen


def deliver(
    images: Sequence[str],
    folder: str | os.PathLike,
    to: str | os.PathLike,
    mode: str = 'copy',
    on_error: Callable[[Exception], object] | None = None,
) -> int:
    """Bring pictures into a new folder, under the names that they have below ``folder``; return how many were new.

    Nothing is ever deleted, moved or overwritten. A file that is there with the same content is left, so that a
    stopped run can be repeated.

    Args:
        images: paths, all below ``folder``.
        folder: where they lie.
        to: where they go.
        mode: one of :data:`MODES`.
        on_error: called with the error of a picture that did not reach the folder; without it, the error is raised.

    Raises:
        ValueError: ``to`` lies in ``folder``.
        FileExistsError: there is another file of the same name.
    """
    check_choice(mode, MODES, 'mode')
    check_target(Path(folder), Path(to), images)
    folder, to = Path(folder).absolute(), Path(to).absolute()
    new = 0
    for image in images:
        source = Path(image).absolute()
        try:
            new += _deliver_one(source, to / source.relative_to(folder), mode)
        except OSError as error:
            if on_error is None:
                raise
            on_error(error)
    return new


def try_delivery(images: Sequence[str], to: str | os.PathLike, mode: str = 'copy') -> None:
    """Deliver the first picture that is there under another name and remove it again, before anything is scored.

    The folder ``to`` is made where it is missing; ``mode`` is one of :data:`MODES`.

    Raises:
        OSError: nothing can be written to the folder, or its disk has no links of that kind.
    """
    check_choice(mode, MODES, 'mode')
    try_folder(to)
    source = next((path for path in map(Path, images) if path.is_file()), None)
    if source is None or mode == 'copy':
        return
    trial = Path(to).absolute() / f'.{secrets.token_hex(8)}.trial'
    try:
        _deliver_one(source.absolute(), trial, mode)
    except OSError as error:
        raise OSError(
            f'Cannot {mode} pictures to {to}: {error.strerror or error}. Use --mode copy, or another folder.'
        ) from None
    finally:
        trial.unlink(missing_ok=True)


def _deliver_one(source: Path, target: Path, mode: str) -> bool:
    if target.is_symlink() or target.exists():
        if not _same(source, target):
            raise FileExistsError(f'{target} exists and is another file than {source}. Choose an empty folder.')
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if mode == 'copy':
        with atomic_write(target) as temporary:
            copy_regular(source, temporary, kind='image file')
        # Times and permissions go along where the disk can keep them.
        with contextlib.suppress(OSError):
            shutil.copystat(source, target)
    elif mode == 'link':
        target.symlink_to(source)
    else:
        os.link(source, target)
    return True


def _same(source: Path, target: Path) -> bool:
    if not target.exists():  # a link to nothing
        return False
    if source.samefile(target):
        return True
    return source.stat().st_size == target.stat().st_size and sha256_of_file(source) == sha256_of_file(target)
