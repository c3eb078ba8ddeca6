"""A foreground mask for a picture without annotations: colours unlike the border's, cut out by OpenCV's GrabCut."""

from __future__ import annotations

import cv2
import numpy as np

#: Name of the method in the records of a database.
SALIENCY_METHOD = 'saliency: OpenCV GrabCut from contrast to the border'

# The cut is made on a picture of at most this many pixels on its longer side: half a second instead of many.
_LONGER_SIDE = 256

# Rounds of GrabCut; Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, iterate a few times.
_ROUNDS = 4

# Width of the border as a share of the shorter side, and the number of colours that stand for it.
_BORDER = 0.06
_BORDER_COLOURS = 4

# A foreground outside these shares of the picture is taken for a failure of the cut.
_PLAUSIBLE = (0.02, 0.9)

# Pictures with a shorter side than this are too small for a border and an inside.
_SHORTEST_SIDE = 8


def salient_foreground(image: np.ndarray) -> np.ndarray:
    """Cut the salient foreground out of a picture, uint8 RGB (H, W, 3): uint8 (H, W), 0 or 255, always the same.

    Photographs mostly have background along their border (the boundary prior of Wei et al., "Geodesic Saliency
    Using Background Priors", ECCV 2012). Saliency is the distance in Lab of each smoothed pixel from the nearest
    of four colours of the border, weighted by a centred Gaussian; Otsu's threshold splits it. What lies above is
    probable, the border certain background for GrabCut (Rother et al. 2004, OpenCV). Where the cut is
    implausibly small or large, the thresholded saliency itself is the mask; where even that is (a picture of one
    colour, or of a few pixels), a centred ellipse of half the sides.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = None
    if min(size) >= _SHORTEST_SIDE:
        mask = _cut_out(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if mask is None:
        mask = _centred_ellipse(size)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) * np.uint8(255)


def _cut_out(image: np.ndarray) -> np.ndarray | None:
    # k-means, here and in GrabCut, draws from OpenCV's own generator: fixed, a picture always gives the same mask.
    cv2.setRNGSeed(0)
    border = np.ones(image.shape[:2], bool)
    margin = max(2, int(_BORDER * min(border.shape)))
    border[margin:-margin, margin:-margin] = False
    saliency = _unlike_border(image, border)
    if saliency.max() == 0:
        return None
    _, salient = cv2.threshold(
        (saliency * (255 / saliency.max())).astype(np.uint8), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    salient[border] = 0
    for mask in (_grab_cut(image, salient, border), salient):
        if _PLAUSIBLE[0] <= mask.mean() <= _PLAUSIBLE[1]:
            return mask
    return None


def _unlike_border(image: np.ndarray, border: np.ndarray) -> np.ndarray:
    lab = cv2.GaussianBlur(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), (5, 5), 0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    # The stubs of OpenCV do not know that None means no labels to begin with, here, and no rectangle, below.
    _, _, colours = cv2.kmeans(lab[border], _BORDER_COLOURS, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    distance = np.min([np.sqrt(((lab - colour) ** 2).sum(axis=2)) for colour in colours], axis=0)
    height, width = distance.shape
    y = ((np.arange(height) + 0.5) / height - 0.5)[:, None]
    x = (np.arange(width) + 0.5) / width - 0.5
    # A deviation of 0.3 of the side leaves a quarter of the weight in the middle of an edge.
    return distance * np.exp(-(y**2 + x**2) / (2 * 0.3**2))


def _grab_cut(image: np.ndarray, salient: np.ndarray, border: np.ndarray) -> np.ndarray:
    labels = np.where(salient > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[border] = cv2.GC_BGD
    # GrabCut fits five Gaussians to the colours of either side; fewer pixels than that cannot be fitted.
    if np.count_nonzero(salient) < 10:
        return salient
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(image)
    cv2.grabCut(picture, labels, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def _centred_ellipse(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    y = ((np.arange(height) + 0.5) / height - 0.5)[:, None]
    x = (np.arange(width) + 0.5) / width - 0.5
    return (y**2 + x**2 <= 0.25**2).astype(np.uint8)
