"""A foreground mask for a picture without annotations: colour saliency, cut out by OpenCV's GrabCut."""

from __future__ import annotations

import cv2
import numpy as np

#: Name of the method in the records of a database.
SALIENCY_METHOD = 'saliency: OpenCV GrabCut from frequency-tuned saliency'

# The cut is made on a picture of at most this many pixels on its longer side; it takes a second per megapixel.
_LONGER_SIDE = 320

# Rounds of GrabCut; Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, iterate a few times.
_ROUNDS = 4

# A foreground outside these shares of the picture is taken for a failure of the cut.
_PLAUSIBLE = (0.02, 0.9)


def salient_foreground(image: np.ndarray) -> np.ndarray:
    """Cut the salient foreground out of a picture.

    Saliency is the distance in Lab of each (smoothed) pixel from the mean colour; more than twice the mean saliency
    is probable foreground (Achanta et al., "Frequency-tuned Salient Region Detection", CVPR 2009), weighted by a
    centred Gaussian, as photographers centre their subjects. It starts GrabCut (Rother et al. 2004, OpenCV), with
    the outermost 2% as probable background. Where the cut is implausibly small or large, the thresholded saliency
    itself is the mask; where even that is empty (a picture of one colour), a centred ellipse of half the sides.

    Args:
        image: uint8 RGB (H, W, 3).

    Returns:
        uint8 (H, W), 0 or 255. The same picture gives the same mask.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    saliency = _frequency_tuned(small)
    salient = saliency > 2 * saliency.mean()
    mask = _grab_cut(small, saliency, salient)
    share = mask.mean()
    if not _PLAUSIBLE[0] <= share <= _PLAUSIBLE[1]:
        mask = salient.astype(np.uint8)
    if not mask.any():
        mask = _centred_ellipse(size)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) * np.uint8(255)


def _frequency_tuned(image: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(lab, (5, 5), 0)
    distance = np.sqrt(((smooth - lab.mean(axis=(0, 1))) ** 2).sum(axis=2))
    height, width = distance.shape
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    # A third of the side as deviation leaves a third of the weight at the edges.
    return distance * np.exp(-(y[:, None] ** 2 + x**2) / (2 * (1 / 3) ** 2))


def _grab_cut(image: np.ndarray, saliency: np.ndarray, salient: np.ndarray) -> np.ndarray:
    height, width = salient.shape
    labels = np.where(salient, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    margin_y, margin_x = max(1, height // 50), max(1, width // 50)
    inside = np.zeros_like(salient)
    inside[margin_y : height - margin_y, margin_x : width - margin_x] = True
    labels[~inside] = cv2.GC_PR_BGD
    # GrabCut fits five Gaussians to the colours of either side; fewer pixels than that cannot be fitted.
    if min(np.count_nonzero(labels == cv2.GC_PR_FGD), np.count_nonzero(labels == cv2.GC_PR_BGD)) < 10:
        return salient.astype(np.uint8)
    # Its k-means draws from OpenCV's own generator, which is fixed so that a picture always gives the same mask.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(image), labels, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def _centred_ellipse(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    y = ((np.arange(height) + 0.5) / height - 0.5)[:, None]
    x = (np.arange(width) + 0.5) / width - 0.5
    return (y**2 + x**2 <= 0.25**2).astype(np.uint8)
