"""Distortions of optics and motion: defocus, motion, glass and Gaussian blur.

Pictures are uint8, RGB (H, W, 3) or grey (H, W); results have the same shape.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import scipy.fft

from .arrays import FLOAT32_SLACK, FLOAT64_SLACK, filter_in_strips, row_strips, truncate
from .strengths import by_name

#: Twelve sets of parameters of each distortion, weakest first. Source: see :mod:`miqa.distortions.strengths`.
STRENGTHS = {
    # Radius and sigma in pixels, as ImageMagick's motion blur understands them.
    'motion_blur': by_name(
        ('radius', 'sigma'),
        [
            (1.4, 0.6),
            (1.5, 0.7),
            (2, 0.9),
            (4, 1.5),
            (7, 2.5),
            (10.5, 3.5),
            (15, 5.0),
            (20, 7),
            (27, 10),
            (35, 14),
            (47, 20),
            (60, 30),
        ],
    ),
    # Disk radius and standard deviation of its smoothing, in pixels.
    'defocus_blur': by_name(
        ('radius', 'alias_sigma'),
        [
            (0.95, 0.5),
            (0.99, 0.54),
            (0.99, 0.6),
            (0.99, 0.7),
            (0.999, 0.9),
            (1, 0.9),
            (2, 0.1),
            (3, 0.5),
            (5, 0.5),
            (7, 0.8),
            (9, 0.9),
            (12, 0.9),
        ],
    ),
    # Gaussian sigma in pixels, largest shift in pixels, rounds of shuffling. The integer part of the last two
    # counts, so the first eight candidates do not shuffle.
    'glass_blur': by_name(
        ('sigma', 'max_delta', 'iterations'),
        [
            (0.4, 1, 0.4),
            (0.42, 1.5, 0.8),
            (0.45, 1.5, 0.9),
            (0.49, 1.5, 0.9),
            (0.55, 1.5, 0.9),
            (0.65, 2, 0.9),
            (0.8, 2.5, 0.9),
            (1.2, 2.5, 0.99),
            (1.5, 2, 1.2),
            (2, 2, 2),
            (3, 3, 3),
            (4, 5, 4),
        ],
    ),
    # Standard deviation of the Gaussian in pixels.
    'gaussian_blur': by_name(('sigma',), [0.45, 0.5, 0.575, 0.65, 0.8, 1, 1.5, 2.3, 3.5, 6, 9, 12]),
}

# OpenCV filters by a DFT, which is slow, when a single-precision kernel has this many elements or more
# (dftFilter2D in modules/imgproc/src/filter.dispatch.cpp); below it, only the elements that are not 0 cost time.
_DIRECT_AREA = 130

# Elements of a double-precision kernel up to which filtering directly is faster than scipy's FFT. Below OpenCV's own
# limit of 50 for that precision.
_SMALL_KERNEL = 49

# Deviation of a Gaussian up to which it is computed in double precision; above, that would take 20 times as long.
_DOUBLE_SIGMA = 1.5

# Sides of the tiles that are Fourier-transformed at a time: they fit into the cache.
_FFT_TILE = 512


def defocus_blur(image: np.ndarray, rng: np.random.Generator, radius: float, alias_sigma: float) -> np.ndarray:
    """Convolve with an antialiased disk of ``radius`` pixels, smoothed by a Gaussian of ``alias_sigma`` pixels.

    Source: ImageNet-C, ``defocus_blur``; edges are mirrored (reflect 101). The result is that of double-precision
    arithmetic with ImageNet-C's single-precision kernel, truncated.
    """
    kernel = disk_kernel(radius, alias_sigma)
    filled = np.argwhere(kernel)
    # The kernel is symmetric: cut off the rings that are 0.
    ring = int(filled.min())
    kernel = kernel[ring : len(kernel) - ring, ring : len(kernel) - ring].astype(np.float64)
    if kernel.size <= _SMALL_KERNEL:
        return _filter_directly(image, kernel)
    if image.ndim == 2:
        return _convolve_by_fft(image, kernel)
    return cv2.merge([_convolve_by_fft(channel, kernel) for channel in cv2.split(image)])


def disk_kernel(radius: float, alias_sigma: float) -> np.ndarray:
    """Return ImageNet-C's disk, float32: on a 17 x 17 grid and smoothed 3 x 3 up to radius 8, else 2r+1 and 5 x 5."""
    reach, smooth = (8, (3, 3)) if radius <= 8 else (radius, (5, 5))
    line = np.arange(-reach, reach + 1)
    x, y = np.meshgrid(line, line)
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    return cv2.GaussianBlur(disk, smooth, sigmaX=alias_sigma)


def _filter_directly(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    reach = len(kernel) // 2
    padded = cv2.copyMakeBorder(image, reach, reach, 0, 0, cv2.BORDER_REFLECT_101)
    out = np.empty_like(image)
    for rows in row_strips(*image.shape[:2]):
        window = padded[rows.start : rows.stop + 2 * reach]
        blurred = cv2.filter2D(window, cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT_101)
        out[rows] = truncate(blurred[reach : len(blurred) - reach], FLOAT64_SLACK)
    return out


def _convolve_by_fft(channel: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter one uint8 channel (H, W) by an odd, symmetric kernel, mirrored edges; truncated uint8 (H, W)."""
    height, width = channel.shape
    reach = len(kernel) // 2
    padded = cv2.copyMakeBorder(channel, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    out = np.empty_like(channel)
    tile = [min(size, _FFT_TILE) for size in (height, width)]
    shape = [scipy.fft.next_fast_len(size + 2 * reach, real=True) for size in tile]
    spectrum = scipy.fft.rfft2(kernel, shape)
    for top in range(0, height, tile[0]):
        for left in range(0, width, tile[1]):
            part = out[top : top + tile[0], left : left + tile[1]]
            rows, columns = part.shape
            window = padded[top : top + rows + 2 * reach, left : left + columns + 2 * reach]
            product = scipy.fft.rfft2(window, shape)
            product *= spectrum
            blurred = scipy.fft.irfft2(product, shape, overwrite_x=True)
            part[:] = truncate(blurred[2 * reach : 2 * reach + rows, 2 * reach : 2 * reach + columns], FLOAT64_SLACK)
    return out


def gaussian_blur(image: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Convolve with a Gaussian of deviation ``sigma`` in pixels, cut off at 4 sigma, edges repeated; truncated.

    Source: ImageNet-C, ``gaussian_blur`` (scikit-image's ``gaussian``).
    """
    return _gaussian(image, sigma)


def _gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    # scipy.ndimage.gaussian_filter reaches int(4 sigma + 0.5) pixels; mode 'nearest' repeats the edge.
    reach = int(4 * sigma + 0.5)
    # The tails of narrow Gaussians are smaller than the slack that single precision needs, and decide what is cut off.
    double = sigma <= _DOUBLE_SIGMA
    depth, slack = (cv2.CV_64F, FLOAT64_SLACK) if double else (cv2.CV_32F, FLOAT32_SLACK)
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, depth)

    def smooth(window: np.ndarray, rows: int) -> np.ndarray:
        blurred = cv2.sepFilter2D(window, depth, kernel, kernel)
        return truncate(blurred[reach : reach + rows, reach : blurred.shape[1] - reach], slack)

    return filter_in_strips(image, (reach,) * 4, smooth)


def glass_blur(
    image: np.ndarray, rng: np.random.Generator, sigma: float, max_delta: float, iterations: float
) -> np.ndarray:
    """Gaussian of ``sigma`` pixels, shuffle pixels locally, Gaussian; truncated after each Gaussian.

    In a round of shuffling (there are int(``iterations``)), every pixel takes the value of the pixel at an offset drawn
    evenly from {-d, ..., d - 1} in both directions (d = int(``max_delta``)), the position kept inside the picture, all
    pixels at once. This is how the released generator of MIQD-2.5M does it. ImageNet-C swaps pixels one after the
    other with the same distribution of offsets.
    """
    reach = int(max_delta)
    blurred = _gaussian(image, sigma)
    for _ in range(int(iterations)):
        blurred = _take_from_offsets(blurred, rng, reach)
    return _gaussian(blurred, sigma)


def _take_from_offsets(image: np.ndarray, rng: np.random.Generator, reach: int) -> np.ndarray:
    if reach < 1:
        return image
    height, width = image.shape[:2]
    pixels = image.reshape(height * width, *image.shape[2:])
    out = np.empty_like(image)
    for strip in row_strips(height, width):
        shape = (strip.stop - strip.start, width)
        rows = np.arange(strip.start, strip.stop)[:, None] + rng.integers(-reach, reach, shape, dtype=np.int8)
        columns = np.arange(width) + rng.integers(-reach, reach, shape, dtype=np.int8)
        np.clip(rows, 0, height - 1, out=rows)
        np.clip(columns, 0, width - 1, out=columns)
        rows *= width
        rows += columns
        out[strip] = pixels.take(rows, axis=0)
    return out


def motion_blur(
    image: np.ndarray, rng: np.random.Generator, radius: float, sigma: float, angle: float | None = None
) -> np.ndarray:
    """Blur along a line, as ImageMagick's motion blur does: one-sided Gaussian, edges repeated, truncated.

    The line is 2 * ceil(radius) + 1 pixels long, the Gaussian's deviation ``sigma`` pixels, ``angle`` in degrees
    clockwise; None draws it evenly from -45 to 45. Source: ImageNet-C, ``motion_blur``; MagickCore/effect.c,
    ``MotionBlurImage``. The bytes are those of the common build of ImageMagick 6, Q16 without HDRI, which rounds sums
    to 16 bits and truncates these to 8 (a build with HDRI rounds once, to 8 bits, and is half a grey level brighter).
    """
    if angle is None:
        angle = float(rng.uniform(-45, 45))
    length = 2 * math.ceil(radius) + 1
    return blur_along_line(image, line_weights(length, sigma), angle)


def line_weights(length: float, sigma: float) -> np.ndarray:
    """One-sided Gaussian weights at 0, 1, 2, ... below ``length``, float64, of sum 1."""
    weights = np.exp(-(np.arange(length) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def blur_along_line(image: np.ndarray, weights: np.ndarray, angle: float) -> np.ndarray:
    """Sum the pixels along a line that starts at each pixel, weighted; pixels outside repeat the edge.

    Tap i lies at ceil(i * cos(angle) - 0.5) to the right and ceil(i * sin(angle) - 0.5) below, which is
    ImageMagick's rule; ``angle`` is in degrees.

    Args:
        image: uint8 or float32, (H, W) or (H, W, C), 0 to 255.
        weights: of the taps, (N,), of sum 1 or less.
        angle: of the line.

    Returns:
        uint8, the shape of ``image``: rounded to 16 bits, where 255 is 65535 = 255 * 257, then truncated to 8.
    """
    right, down = line_offsets(len(weights), angle)
    up, left = max(0, -down.min()), max(0, -right.min())
    pieces = []
    for first, last in _runs(right, down):
        part = slice(first, last)
        top, start = down[part].min(), right[part].min()
        kernel = np.zeros((np.ptp(down[part]) + 1, np.ptp(right[part]) + 1), np.float32)
        np.add.at(kernel, (down[part] - top, right[part] - start), weights[part])
        pieces.append((up + top, left + start, kernel))
    width = image.shape[1]

    def add_up(window: np.ndarray, rows: int) -> np.ndarray:
        window = window.astype(np.float32)
        total: np.ndarray | None = None
        for top, start, kernel in pieces:
            # Anchored at its corner, the kernel reads only what lies in this part for the pixels that are kept.
            part = window[top : top + rows + kernel.shape[0] - 1, start : start + width + kernel.shape[1] - 1]
            piece = cv2.filter2D(part, cv2.CV_32F, kernel, anchor=(0, 0))[:rows, :width]
            total = piece if total is None else cv2.add(total, piece)
        if total is None:
            raise ValueError('A line needs at least one weight.')
        total += np.float32(0.5 / 257)
        return truncate(total)

    return filter_in_strips(image, (up, max(0, down.max()), left, max(0, right.max())), add_up)


def line_offsets(length: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps to the right and downwards of the taps 0 to ``length`` - 1 of a line, whole pixels."""
    steps = np.arange(length)
    right = np.ceil(steps * math.cos(math.radians(angle)) - 0.5).astype(int)
    down = np.ceil(steps * math.sin(math.radians(angle)) - 0.5).astype(int)
    return right, down


def _runs(right: np.ndarray, down: np.ndarray) -> list[tuple[int, int]]:
    """Cut the taps into runs whose bounding boxes are small enough for direct filtering."""
    runs, first = [], 0
    for last in range(1, len(right) + 1):
        box = (np.ptp(right[first : last + 1]) + 1) * (np.ptp(down[first : last + 1]) + 1)
        if last == len(right) or box >= _DIRECT_AREA:
            runs.append((first, last))
            first = last
    return runs
