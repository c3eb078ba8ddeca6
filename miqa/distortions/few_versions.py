"""A balanced part of all versions: few for each source, and over the sources every distortion and level."""

from __future__ import annotations

import math
from collections.abc import Sequence

from miqa.taxonomy import DISTORTIONS, LEVEL_PAIRS

#: Level pairs of each distortion that a source gets, where there are enough distortions: a mild uniform one, a strong
#: one, and a fused one.
PAIRS_OF_EACH = 3

#: A distortion and its (foreground, background) levels.
Versions = tuple[str, tuple[tuple[int, int], ...]]


def plan_versions(
    number: int, versions: int, names: Sequence[str] = DISTORTIONS, pairs: Sequence[tuple[int, int]] = LEVEL_PAIRS
) -> tuple[Versions, ...]:
    """Choose so many ``versions`` of the ``number``-th source, from 0: distortions and for each some of ``pairs``.

    Over the sources all distortions, all uniform levels and all fused pairs come round equally often. The first pairs
    of a distortion are a mild uniform one, a strong uniform one, and one where both levels differ; the last distortion
    gets what is missing of ``versions``.
    """
    fused = [pair for pair in LEVEL_PAIRS if pair[0] != pair[1]]
    # 7 has no factor in common with the 20 fused pairs, so their order is mixed and each comes round.
    mixed = [fused[7 * (number + i) % len(fused)] for i in range(len(fused))]
    first = [(1 + number % 3,) * 2, (4 + number % 2,) * 2, mixed[0]]
    order = [pair for pair in dict.fromkeys((*first, *mixed, *LEVEL_PAIRS)) if pair in pairs]
    each = max(min(PAIRS_OF_EACH, len(order)), math.ceil(versions / len(names)))
    count = math.ceil(versions / each)
    chosen = [names[(number * count + i) % len(names)] for i in range(count)]
    return tuple((name, tuple(order[: versions - i * each][:each])) for i, name in enumerate(chosen))


def check_count(versions: int, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> None:
    """Check that a picture can have so many versions.

    Raises:
        ValueError: it is less than 1, or more than there are.
    """
    most = len(names) * len(pairs)
    if not 1 <= versions <= most:
        raise ValueError(
            f'--versions must be a number from 1 to {most} ({len(names)} distortions at {len(pairs)} pairs of levels), '
            f'not {versions}.'
        )
