"""Between 8-bit pictures and linear light, and what all stages share."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

#: A point spread function is computed with at most this radius in pixels, on a smaller picture where it is larger:
#: OpenCV filters kernels of up to 11 x 11 directly, which is five times as fast as by Fourier transform.
_DIRECT_RADIUS = 5.0


def _srgb_to_linear(values: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, 0 to 1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(values: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, 0 to 1."""
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


_DECODED = _srgb_to_linear(np.arange(256) / 255).astype(np.float32)
_ENCODED = np.round(_linear_to_srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)


def to_linear(image: np.ndarray) -> np.ndarray:
    """Decode uint8 RGB (H, W, 3) by the curve of sRGB (IEC 61966-2-1) to linear light, float32 (H, W, 3), 0 to 1."""
    return cv2.LUT(image, _DECODED)


def to_display(light: np.ndarray) -> np.ndarray:
    """Clip linear light at white, encode it by the curve of sRGB, and round: uint8 RGB (H, W, 3)."""
    codes = np.clip(light, 0, 1)
    codes *= 65535
    codes += 0.5
    return _ENCODED.take(codes.astype(np.uint16))


def unit_of(light: np.ndarray) -> float:
    """Return the unit of lengths in pixels: 1/256 of the shorter side."""
    return min(light.shape[:2]) / 256


def luminance(light: np.ndarray) -> np.ndarray:
    """Return the luminance of linear sRGB, float32 (H, W), by the weights of ITU-R BT.709."""
    return cv2.transform(light, np.array([[0.2126, 0.7152, 0.0722]], np.float32)).reshape(light.shape[:2])


def spread(light: np.ndarray, radius: float, kernel_of: Callable[[float], np.ndarray]) -> np.ndarray:
    """Convolve light with a point spread function; a large one at reduced size, where it is as smooth.

    Args:
        light: float32 (H, W) or (H, W, C).
        radius: of the function in pixels.
        kernel_of: from the radius at the size of computation to an odd float32 kernel that sums to 1.
    """
    shrink = max(1.0, radius / _DIRECT_RADIUS)
    if shrink == 1:
        return cv2.filter2D(light, -1, kernel_of(radius), borderType=cv2.BORDER_REFLECT)
    small = cv2.resize(light, reduced(light.shape, shrink), interpolation=cv2.INTER_AREA)
    small = cv2.filter2D(small, -1, kernel_of(radius / shrink), borderType=cv2.BORDER_REFLECT)
    return enlarge(small, light.shape)


def reduced(shape: tuple[int, ...], shrink: float) -> tuple[int, int]:
    """Return (width, height) of a picture of ``shape`` (H, W, ...) that is ``shrink`` times as small."""
    return max(1, round(shape[1] / shrink)), max(1, round(shape[0] / shrink))


def enlarge(small: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Enlarge linearly to the height and width of ``shape`` (H, W, ...)."""
    return cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def disc(radius: float) -> np.ndarray:
    """Return a disc's point spread function, float32, with edges smoothed by the covered share of each pixel."""
    reach, parts = int(np.ceil(radius)), 5
    line = (np.arange((2 * reach + 1) * parts) + 0.5) / parts - reach - 0.5
    inside = (line[:, None] ** 2 + line**2 <= max(radius, 0.3) ** 2).astype(np.float32)
    side = 2 * reach + 1
    kernel = inside.reshape(side, parts, side, parts).mean((1, 3))
    return kernel / kernel.sum()


def smooth_field(shape: tuple[int, ...], rng: np.random.Generator, cells: float = 3) -> np.ndarray:
    """Draw a smooth random field, float32 (H, W), 0 to 1, with about ``cells`` hills along the shorter side."""
    side = min(shape[:2])
    size = (max(2, round(cells * shape[0] / side) + 1), max(2, round(cells * shape[1] / side) + 1))
    field = cv2.resize(rng.random(size, dtype=np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(field, 0, 1)
