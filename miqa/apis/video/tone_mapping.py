"""Tone mapping of HDR footage to the range of ordinary pictures."""

from __future__ import annotations

import functools

import numpy as np

#: FFmpeg's numbers of the transfer characteristics (ITU-T H.273, table 3) and their names.
TRANSFERS = {16: 'PQ', 18: 'HLG'}
# Luma weights (ITU-R BT.601, BT.2020).
_BT601, _BT2020 = (0.299, 0.114), (0.2627, 0.0593)
# Linear light from BT.2020 to BT.709 primaries, ITU-R BT.2087 (RGB).
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
# Nits of diffuse white and of the brightest highlight that keeps a tone of its own (ITU-R BT.2408, BT.2100).
_WHITE, _PEAK = 203.0, 1000.0
_STEPS = 4096


def tone_map(image: np.ndarray, transfer: str) -> np.ndarray:
    """Return HDR footage (``transfer`` 'PQ' or 'HLG') as standard footage; both uint8 (H, W, 3), BGR, non-linear.

    Decoded by BT.601, as OpenCV does whatever a file says, the picture is first decoded by BT.2020 instead. Then its
    light is computed (SMPTE ST 2084, or ARIB STD-B67 with the system gamma 1.2 of BT.2100); luminance is compressed by
    the extended curve of Reinhard et al. (2002), so that 1000 nits become white and diffuse white (203 nits) 190 of
    255; and colours are brought to BT.709 and encoded with gamma 1/2.2.
    """
    import cv2  # comes with the extra [video]

    rgb = image[:, :, ::-1].astype(np.float32) / 255
    rgb = cv2.transform(rgb, _rematrix()).clip(0, 1)
    light = _linear(transfer)[np.rint(rgb * (_STEPS - 1)).astype(np.int32)]  # 1.0 is diffuse white
    luminance = cv2.transform(light, np.array([[_BT2020[0], 1 - sum(_BT2020), _BT2020[1]]], np.float32))
    luminance = luminance.reshape(*image.shape[:2], 1)
    if transfer == 'HLG':
        # The system gamma works on luminance relative to the display's peak, so that hues stay.
        light = light * np.maximum(luminance * (_WHITE / _PEAK), 1e-6) ** 0.2
        luminance = luminance * np.maximum(luminance * (_WHITE / _PEAK), 1e-6) ** 0.2
    peak = _PEAK / _WHITE
    mapped = (1 + luminance / peak**2) / (1 + luminance)
    rgb = cv2.transform(light * mapped, _TO_BT709).clip(0, 1)
    encoded = rgb ** (1 / 2.2)
    return np.ascontiguousarray(np.rint(encoded * 255).astype(np.uint8)[:, :, ::-1])


@functools.cache
def _rematrix() -> np.ndarray:
    """Return the matrix from RGB decoded by BT.601 to RGB decoded by BT.2020."""
    return (np.linalg.inv(_to_ycc(*_BT2020)) @ _to_ycc(*_BT601)).astype(np.float32)


def _to_ycc(red: float, blue: float) -> np.ndarray:
    luma = np.array([red, 1 - red - blue, blue])
    return np.stack([
        luma, (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)), (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
    ])  # fmt: skip


@functools.cache
def _linear(transfer: str) -> np.ndarray:
    """Return light, in units of diffuse white, of signals from 0 to 1: float32 (4096,)."""
    signal = np.linspace(0, 1, _STEPS)
    if transfer == 'PQ':
        # SMPTE ST 2084: m1, m2, c1, c2, c3.
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = signal ** (1 / m2)
        nits = 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif transfer == 'HLG':
        # ARIB STD-B67: a, b, c; scene light, of which 1 becomes 1000 nits.
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        nits = _PEAK * scene
    else:
        raise ValueError(f"transfer must be 'PQ' or 'HLG', not {transfer!r}.")
    return (nits / _WHITE).astype(np.float32)
