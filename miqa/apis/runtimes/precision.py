"""``precision='auto'``: the fastest number format and runtime whose scores agree with PyTorch's float32."""

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
from miqa.taxonomy import check_choice

from .base import Runtime
from .probes import pixels_to_try

AUTO = 'auto'
PRECISION_VARIABLE = 'MIQA_PRECISION'  # The environment variable with the default precision; ``auto`` without it
_WORDS = (AUTO, 'fp32', 'bf16', 'fp16')
#: How far scores may be from those of float32 for ``auto`` to take a faster way: in the mean, and the largest.
MEAN_DIFFERENCE, LARGEST_DIFFERENCE = 0.005, 0.02
LARGEST_LOSS_OF_ORDER = 0.001  # How much the order may change, as 1 - SRCC between its scores and those of float32
LEAST_GAIN = 1.1  # How much faster it must be: a few percent are the noise of the measurement
CHOICES_FILE = 'precision.json'  # File of the cache folder that keeps what was measured
_ROUNDS, _BATCH = 3, 8
# Seconds for the measurement of another process, which takes a few.
_LONGEST_WAIT = 600


def default_precision(precision: str | None) -> str:
    """Return ``precision``; where it is None what ``$MIQA_PRECISION`` says, else ``auto``.

    Raises:
        ValueError: the variable says something else than a precision.
    """
    value = os.environ.get(PRECISION_VARIABLE) or AUTO
    return precision or check_choice(value, _WORDS, f'value of {PRECISION_VARIABLE}')


def choose_runtime(
    open_in: Callable[[str], Runtime],
    candidates: Sequence[str],
    size: int,
    source: str,
    about: Sequence[str],
    digest: Callable[[], str] | None = None,
) -> Runtime:
    """Open a network in the fastest way whose scores stay with those of float32.

    They stay where they differ by at most :data:`MEAN_DIFFERENCE` in the mean and :data:`LARGEST_DIFFERENCE`, and
    Spearman's correlation of both is at least 1 - :data:`LARGEST_LOSS_OF_ORDER`.

    What was measured is kept in the cache folder, and printed when it is measured: from then on the same weights have
    the same scores on this machine, whatever else it does. Processes that ask at the same time wait for one
    measurement. Where nothing can be kept, the format is float32, as a measurement of times may come out otherwise
    the next time.

    Each candidate is compared with float32 on real photographs or on made pictures (see
    :func:`miqa.apis.runtimes.probes.pixels_to_try`), for scores, for their order and, in turns, for time: processor
    time on a CPU, which other programs change least.

    Args:
        open_in: from ``fp32`` or a candidate to a runtime. Whatever a candidate raises means that it cannot be used.
        candidates: number formats that the device computes in itself, or names of other ways, such as
            ``OpenVINO bf16``; none: float32 without a measurement.
        size: of the model's input, in pixels.
        source: the weights file, whose content belongs to what is kept.
        about: further texts on which the choice depends: runtime, its version, processor, options.
        digest: returns what stands for the weights; None for the file's SHA-256.
    """
    reference = open_in('fp32')
    if not candidates:
        return reference
    key = _key(source, (*candidates, *about), digest)
    choice = _read_choices().get(key)
    if choice not in ('fp32', *candidates):
        try:
            with _one_at_a_time():
                # Somebody else may have measured it while this process waited.
                choice = _read_choices().get(key)
                if choice not in ('fp32', *candidates):
                    name, best, message = _measured(reference, open_in, candidates, size)
                    _keep(key, name)
                    print(
                        f'precision=auto: {best.precision} with {best.name} for {Path(source).name} ({message}). Say '
                        f'precision={"fp32" if best is not reference else _plain_format(candidates)} to choose '
                        'yourself.',
                        file=sys.stderr,
                    )
                    return best
        except (OSError, NotImplementedError, MemoryError) as error:
            print(
                f'precision=auto: fp32 for {Path(source).name}, as no choice can be kept in {user_cache()} '
                f'({error or type(error).__name__}): let the variable {HOME_VARIABLE} name a folder that can be '
                f'written, or say precision={_plain_format(candidates)} to choose yourself.',
                file=sys.stderr,
            )
            return reference
    if choice == 'fp32':
        return reference
    try:
        return open_in(choice)
    except Exception as error:  # exporters and other programs' runtimes raise anything
        print(
            f'precision=auto: fp32 with {reference.name} for {Path(source).name}, as {_not_usable(choice, error)}.',
            file=sys.stderr,
        )
        return reference


def _plain_format(candidates: Sequence[str]) -> str:
    """Return the first candidate that is a number format, which a user can ask for."""
    return next((name for name in candidates if ' ' not in name), 'fp32')


def _not_usable(name: str, error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f'{name.partition(" ")[0]} cannot be used here: {lines[0][:300].rstrip(".")}'


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    user_cache().mkdir(parents=True, exist_ok=True)
    with FileLock(user_cache() / f'.{CHOICES_FILE}.lock', timeout=_LONGEST_WAIT):
        yield


def _measured(
    reference: Runtime, open_in: Callable[[str], Runtime], candidates: Sequence[str], size: int
) -> tuple[str, Runtime, str]:
    """Return the name of the best way, its runtime, and why it is the best."""
    pixels, description = pixels_to_try(size)
    expected = _scores(reference, pixels)
    name, best, best_time = 'fp32', reference, None
    reasons = []
    for candidate in candidates:
        try:
            runtime = open_in(candidate)
            scores = _scores(runtime, pixels)
        except (OSError, MemoryError):
            raise  # it may go well the next time: nothing is kept
        except Exception as error:  # exporters and other programs' runtimes raise anything
            reasons.append(_not_usable(candidate, error))
            continue
        change = np.abs(scores - expected)
        srcc = order_kept(scores, expected)
        message = (
            f'{candidate} changes scores of {len(pixels)} {description} by {change.mean():.2g} in the mean and '
            f'{change.max():.2g} at most, SRCC {srcc:.4f}'
        )
        if not (
            change.mean() <= MEAN_DIFFERENCE
            and change.max() <= LARGEST_DIFFERENCE
            and srcc >= 1 - LARGEST_LOSS_OF_ORDER
        ):
            reasons.append(
                f'{message}, beyond {MEAN_DIFFERENCE}, {LARGEST_DIFFERENCE} or {1 - LARGEST_LOSS_OF_ORDER:g}'
            )
            continue
        slow, fast = _seconds((reference, runtime), pixels)
        reasons.append(f'{message}, and is {slow / fast:.2f} times as fast')
        if slow / fast >= LEAST_GAIN and (best_time is None or fast < best_time):
            name, best, best_time = candidate, runtime, fast
    return name, best, '; '.join(dict.fromkeys(reasons))


def _scores(runtime: Runtime, pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([runtime(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)])


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
    clock = time.process_time if runtimes[0].device.type == 'cpu' else time.perf_counter
    taken: list[list[float]] = [[] for _ in runtimes]
    for _ in range(_ROUNDS + 1):
        for runtime, times in zip(runtimes, taken, strict=True):
            begin = clock()
            runtime(pixels[:_BATCH])
            times.append(clock() - begin)
    return [min(times[1:]) for times in taken]


def _key(source: str, about: Sequence[str], digest: Callable[[], str] | None) -> str:
    """Return what a choice is kept under."""
    numbers = sha256_of_file(source) if digest is None else digest()
    limits = (MEAN_DIFFERENCE, LARGEST_DIFFERENCE, LARGEST_LOSS_OF_ORDER, LEAST_GAIN)
    text = json.dumps([numbers, __version__, *limits, *about])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read_choices() -> dict[str, str]:
    try:
        choices = read_settings(user_cache() / CHOICES_FILE)
    except (OSError, ValueError):
        return {}  # nothing kept, or damaged: it is measured again
    return choices if isinstance(choices, dict) else {}


def _keep(key: str, precision: str) -> None:
    choices = {**_read_choices(), key: precision}
    with atomic_write(user_cache() / CHOICES_FILE) as temporary:
        temporary.write_text(json.dumps(choices, indent=1), encoding='utf-8')
