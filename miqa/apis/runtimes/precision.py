"""``precision='auto'``: the faster number format, where its scores stay with those of float32."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from miqa import __version__
from miqa.keeping import atomic_write, sha256_of_file
from miqa.outside.json_text import read_settings
from miqa.outside.user_folders import HOME_VARIABLE, user_cache

from .base import Runtime
from .probes import pixels_to_try

AUTO = 'auto'
#: The environment variable that says what is meant where nothing is said; ``auto`` without it.
PRECISION_VARIABLE = 'MIQA_PRECISION'
#: How far scores of a reduced format may be from those of float32 for ``auto`` to take it.
LARGEST_DIFFERENCE = 0.005
#: How much the order may change, as 1 - SRCC between its scores and those of float32.
LARGEST_LOSS_OF_ORDER = 0.001
#: How much faster it must be: a few percent are the noise of the measurement.
LEAST_GAIN = 1.1
#: File of the cache folder that keeps what was measured.
CHOICES_FILE = 'precision.json'
_ROUNDS, _BATCH = 3, 8
# Seconds for the measurement of another process, which takes a few.
_LONGEST_WAIT = 600


def default_precision(precision: str | None) -> str:
    """Return ``precision``; where it is None what ``$MIQA_PRECISION`` says, else ``auto``."""
    return precision or os.environ.get(PRECISION_VARIABLE) or AUTO


def choose_runtime(
    open_in: Callable[[str], Runtime],
    candidates: Sequence[str],
    size: int,
    source: str,
    about: Sequence[str],
    digest: Callable[[], str] | None = None,
) -> Runtime:
    """Open a runtime in the fastest format whose scores stay within :data:`LARGEST_DIFFERENCE` of float32's.

    Their order must stay too: Spearman's correlation of both is at least 1 - :data:`LARGEST_LOSS_OF_ORDER`.

    What was measured is kept in the cache folder, and printed when it is measured: from then on the same weights have
    the same scores on this machine, whatever else it does. Processes that ask at the same time wait for one
    measurement. Where nothing can be kept, the format is float32, as a measurement of times may come out otherwise
    the next time.

    Each candidate is compared with float32 on photographs of the demo's test set or on made pictures (see
    :func:`miqa.apis.runtimes.probes.pixels_to_try`), for scores, for their order and, in turns, for time.

    Args:
        open_in: from a format to a runtime.
        candidates: formats that the device computes in itself; none: float32 without a measurement.
        size: of the pictures that the model sees, in pixels.
        source: the weights file, whose content belongs to what is kept.
        about: further texts on which the choice depends: runtime, its version, processor, options.
        digest: returns what stands for the weights where ``source`` is no file.
    """
    reference = open_in('fp32')
    if not candidates:
        return reference
    key = _key(source, (*candidates, *about), digest)
    known = _read_choices().get(key)
    if known not in ('fp32', *candidates):
        try:
            with _one_at_a_time():
                # Somebody else may have measured it while this process waited.
                known = _read_choices().get(key)
                if known not in ('fp32', *candidates):
                    best, said = _measured(reference, open_in, candidates, size)
                    _keep(key, best.precision)
                    print(
                        f'precision=auto: {best.precision} with {reference.name} for {Path(source).name} ({said}). Say '
                        f'precision={"fp32" if best is not reference else candidates[0]!s} to choose yourself.',
                        file=sys.stderr,
                    )
                    return best
        except (OSError, NotImplementedError) as error:
            print(
                f'precision=auto: fp32 for {Path(source).name}, as no choice can be kept in {user_cache()} ({error}): '
                f'let the variable {HOME_VARIABLE} name a folder that can be written, or say '
                f'precision={candidates[0]} to choose yourself.',
                file=sys.stderr,
            )
            return reference
    return reference if known == 'fp32' else open_in(known)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    user_cache().mkdir(parents=True, exist_ok=True)
    with FileLock(user_cache() / f'.{CHOICES_FILE}.lock', timeout=_LONGEST_WAIT):
        yield


def _measured(
    reference: Runtime, open_in: Callable[[str], Runtime], candidates: Sequence[str], size: int
) -> tuple[Runtime, str]:
    """Return the best runtime and why it is."""
    pixels, what = pixels_to_try(size)
    expected = reference(pixels)
    best, best_time = reference, None
    reasons = []
    for candidate in candidates:
        runtime = open_in(candidate)
        scores = runtime(pixels)
        difference = float(np.abs(scores - expected).max())
        if not difference <= LARGEST_DIFFERENCE:
            reasons.append(f'{candidate} changes scores of {what} by up to {difference:.2g}')
            continue
        lost = 1 - order_kept(scores, expected)
        if lost > LARGEST_LOSS_OF_ORDER:
            reasons.append(f'{candidate} changes the order of the scores of {what}: their SRCC is {1 - lost:.4f}')
            continue
        slow, fast = _seconds((reference, runtime), pixels)
        said = (
            f'{candidate} is {slow / fast:.2f} times as fast and changes scores of {what} by at most {difference:.2g}'
        )
        reasons.append(said)
        if slow / fast >= LEAST_GAIN and (best_time is None or fast < best_time):
            best, best_time = runtime, fast
    return best, '; '.join(reasons)


def order_kept(scores: np.ndarray, expected: np.ndarray) -> float:
    """Return Spearman's correlation of two lists of scores; 1 where all are equal. SciPy is not everywhere."""
    ranks = []
    for values in (scores, expected):
        # Equal scores share the mean of their ranks.
        _, group, count = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(count) - (count - 1) / 2)[group])
    if all(np.ptp(rank) == 0 for rank in ranks):
        return 1.0
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(rank) for rank in ranks) else 0.0


def _seconds(runtimes: Sequence[Runtime], pixels: np.ndarray) -> list[float]:
    """Return each runtime's shortest time of a few batches, in turns: other load hits all. The first warm up."""
    taken: list[list[float]] = [[] for _ in runtimes]
    for _ in range(_ROUNDS + 1):
        for runtime, times in zip(runtimes, taken, strict=True):
            begin = time.perf_counter()
            runtime(pixels[:_BATCH])
            times.append(time.perf_counter() - begin)
    return [min(times[1:]) for times in taken]


def _key(source: str, about: Sequence[str], digest: Callable[[], str] | None) -> str:
    """Return what a choice is kept under."""
    numbers = digest() if digest is not None and not Path(source).is_file() else sha256_of_file(source)
    text = json.dumps([numbers, __version__, LARGEST_DIFFERENCE, LARGEST_LOSS_OF_ORDER, LEAST_GAIN, *about])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read_choices() -> dict[str, str]:
    try:
        found = read_settings(user_cache() / CHOICES_FILE)
    except (OSError, ValueError):
        return {}  # nothing kept, or damaged: it is measured again
    return found if isinstance(found, dict) else {}


def _keep(key: str, precision: str) -> None:
    choices = {**_read_choices(), key: precision}
    with atomic_write(user_cache() / CHOICES_FILE) as temporary:
        temporary.write_text(json.dumps(choices, indent=1), encoding='utf-8')
