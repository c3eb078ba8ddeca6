"""Diamond-square plasma: the fractal clouds of the fog."""

from __future__ import annotations

import numpy as np

# The extremes of the whole map are taken once the finer scales can change them by no more than this share of
# the range between them.
_RANGE_TOLERANCE = 0.01


def plasma(height: int, width: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """Return the top left part of a diamond-square map of extremes 0 and 1, float32 (height, width).

    The map's side is the next power of two of the longer side (at least 4); it wraps around at its edges.
    Midpoints are the mean of their four neighbours plus noise, even between -a and a, where a falls by decay^2 from
    scale to scale. Source: ImageNet-C's ``plasma_fractal``, after https://github.com/FLHerne/mapgen.

    Only the part that is needed is refined to the last pixel: the extremes of the whole map are known well
    enough (1% of their difference, by the bound on what finer scales can add) some scales earlier.

    Raises:
        ValueError: ``decay`` is not above 1, so the noise would not fall.
    """
    if decay <= 1:
        raise ValueError(f'The decay of the fog has to be above 1, not {decay}.')
    step = 4
    while step < max(height, width):
        step *= 2
    amplitude = 1.0
    shrink = decay**-2
    grid = np.zeros((1, 1), np.float32)
    low = high = 0.0
    while step > 1:
        # Square and diamond each add at most the amplitude, at this scale and all finer ones.
        if 2 * amplitude / (1 - shrink) <= _RANGE_TOLERANCE * (high - low):
            break
        grid = _refine(grid, amplitude, rng, wrap=True)
        low, high = float(grid.min()), float(grid.max())
        step //= 2
        amplitude *= shrink
    # One more point on every side is as much as refining uses up, whatever the number of scales.
    rows, columns = (np.arange(-1, -(-(size - 1) // step) + 2) % len(grid) for size in (height, width))
    grid = grid[rows][:, columns]
    start = -step
    while step > 1:
        grid = _refine(grid, amplitude, rng)
        step //= 2
        start += step
        amplitude *= shrink
    part = grid[-start : -start + height, -start : -start + width]
    return np.clip((part - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)


def _refine(grid: np.ndarray, amplitude: float, rng: np.random.Generator, wrap: bool = False) -> np.ndarray:
    """Halve the spacing of a (p, q) grid: (2p - 3, 2q - 3), beginning at the middle of the first square.

    With ``wrap``, the grid continues at its opposite edge: (2p, 2q), beginning at the same point.
    """

    def noise(rows: int, columns: int) -> np.ndarray:
        values = rng.random((rows, columns), dtype=np.float32)
        values -= np.float32(0.5)
        values *= np.float32(2 * amplitude)
        return values

    if wrap:
        centre_noise = np.pad(noise(*grid.shape), ((1, 0), (1, 0)), mode='wrap')
        grid = np.pad(grid, 1, mode='wrap')
    else:
        centre_noise = noise(grid.shape[0] - 1, grid.shape[1] - 1)
    rows, columns = grid.shape
    quarter = np.float32(0.25)
    pairs = grid[:-1] + grid[1:]
    centres = pairs[:, :-1] + pairs[:, 1:]
    centres *= quarter
    centres += centre_noise
    out = np.empty((2 * rows - 3, 2 * columns - 3), np.float32)
    out[::2, ::2] = centres
    out[1::2, 1::2] = grid[1:-1, 1:-1]
    edge = grid[1:-1, :-1] + grid[1:-1, 1:]
    edge += centres[:-1]
    edge += centres[1:]
    edge *= quarter
    edge += noise(*edge.shape)
    out[1::2, ::2] = edge
    edge = pairs[:, 1:-1] + centres[:, :-1]
    edge += centres[:, 1:]
    edge *= quarter
    edge += noise(*edge.shape)
    out[::2, 1::2] = edge
    return out[1:, 1:] if wrap else out
