"""Features of a picture for small heads: cheap statistics, and the packaged model's features over undistorted tiles."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from miqa.errors import CheckpointError
from miqa.networks.onnx_session import OnnxSession, open_onnx
from miqa.pictures.resizing import cut_planes, resize_rgb
from miqa.taxonomy import DATABASE_TASKS, check_choice

from .inputs import MAX_RESIZED_PIXELS, Picture, to_rgb

#: Longer side at which statistics are taken; smaller pictures are not enlarged. Detectors see about as much.
STATISTICS_SIDE = 640
#: Longer side, at least, at which tiles are cut for tasks whose objects may be small; cls has the whole alone.
TILED_SIDE = 640
MOST_TILES = 32  # Tiles of one picture at most: a panorama is seen at a smaller scale
FEATURES = 'features'  # Name of the box model's output, float32 (N, D), beside its scores
#: The scores beside them, as logits, where the network has them: for classifiers, and for all other machines.
SCORES = {True: ('consistency', 'accuracy'), False: ('det_consistency', 'det_accuracy')}
SCORE = 'score_'  # Before their names among the numbers
_LEAST = 1e-3  # Scores nearer to 0 or 1 than this count as this
_MOST_FEATURES = 4096  # More numbers of a tile than this, no head of a small gate could use

_TINY = 1e-6


class PictureView(NamedTuple):
    """What is taken from a decoded picture before any network runs."""

    statistics: np.ndarray  # float64 (len(:func:`statistic_names`),)
    whole: np.ndarray  # uint8 RGB (1, 3, S, S): the picture stretched to a square; (0, 3, 1, 1) without a network
    #: uint8 RGB (T, 3, S, S): squares that cover it, in its own aspect ratio, with its longer side at
    #: :data:`TILED_SIDE` or more; the same as ``whole`` for cls.
    tiles: np.ndarray


class PictureFeatures:
    """Turns pictures into numbers.

    Args:
        task: cls, det, ins or seg; decides the scale at which tiles are cut.
        network: ONNX file of a quality model with an output :data:`FEATURES`; None for the statistics alone.
        threads: of the network; None for one a core.

    Attributes:
        names: of the numbers, in their order.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not an ONNX file, or does not take uint8 squares and give features.
    """

    def __init__(self, task: str, network: str | os.PathLike | None = None, threads: int | None = None):
        check_choice(task, DATABASE_TASKS, 'task')
        self.task, self.network = task, None if network is None else str(network)
        self._session, self.size, self.depth = None, 0, 0
        self._scores: list[str] = []
        if self.network is not None:
            self._session, _ = open_onnx(self.network, 'cpu', threads, limited=True)
            self.size, self.depth, outputs = _ends(self._session, self.network)
            self._scores = [name for name in SCORES[task == 'cls'] if name in outputs]
        kinds = ('whole', 'tiles', 'spread') if self._session is not None else ()
        features = (f'{kind}_{place}' for kind in kinds for place in range(self.depth))
        self.names = (*statistic_names(), *(SCORE + name for name in self._scores), *features)

    def view(self, picture: Picture, name: str | None = None) -> PictureView:
        """Decode a picture and cut its squares; any thread may do it.

        Raises:
            What :func:`miqa.apis.inputs.to_rgb` raises.
        """
        return self.view_of(to_rgb(picture, name))

    def view_of(self, rgb: np.ndarray) -> PictureView:
        """Take statistics of decoded pixels, uint8 RGB (H, W, 3), and cut their squares.

        Raises:
            ValueError: the picture is too elongated.
        """
        height, width = rgb.shape[:2]
        scale = min(1.0, STATISTICS_SIDE / max(height, width))
        small = resize_rgb(rgb, _scaled(width, height, scale)) if scale < 1 else rgb
        values = picture_statistics(small, (height, width))
        if self._session is None:
            nothing = np.zeros((0, 3, 1, 1), np.uint8)
            return PictureView(values, nothing, nothing)
        # The whole picture, stretched, is what the packaged model was trained on.
        whole = cut_planes(resize_rgb(rgb, (self.size, self.size), interpolation='bicubic'), 0, 0, self.size)[None]
        return PictureView(values, whole, whole if self.task == 'cls' else self._squares(rgb))

    def _squares(self, rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        scale = max(TILED_SIDE / max(height, width), self.size / min(height, width))
        across, down = (max(self.size, side) for side in _scaled(width, height, scale))
        if across * down > MAX_RESIZED_PIXELS:
            raise ValueError(f'A picture of {width} x {height} pixels is too elongated. Cut it into shorter parts.')
        resized = resize_rgb(rgb, (across, down), interpolation='bicubic')
        corners = [(top, left) for top in _corners(down, self.size) for left in _corners(across, self.size)]
        if len(corners) > MOST_TILES:  # of a long strip some all along it
            corners = [corners[i] for i in np.linspace(0, len(corners) - 1, MOST_TILES).round().astype(int)]
        return np.stack([cut_planes(resized, top, left, self.size) for top, left in corners])

    def __call__(self, views: list[PictureView]) -> np.ndarray:
        """Return the numbers of each picture: float64 (N, len(names))."""
        if self._session is None:
            return np.stack([view.statistics for view in views])
        session = self._session
        parts = [part for view in views for part in (view.whole, view.tiles)]
        numbers, scores = self._run(session, np.concatenate(parts))
        ends = np.cumsum([len(part) for part in parts])[:-1]
        split = np.split(numbers, ends)
        rows = []
        for place, view in enumerate(views):
            whole, tiles = split[2 * place], split[2 * place + 1]
            score = scores[ends[2 * place - 1] if place else 0]  # of the whole picture
            rows.append(np.concatenate([view.statistics, score, whole.mean(0), tiles.mean(0), tiles.std(0)]))
        return np.stack(rows)

    def _run(self, session: OnnxSession, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features (N, D) and logits of the scores (N, S) of squares, float64."""
        name = session.get_inputs()[0].name
        parts = [
            session.run([FEATURES, *self._scores], {name: pixels[start : start + MOST_TILES]})
            for start in range(0, len(pixels), MOST_TILES)
        ]
        features, *scores = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
        shares = np.stack(scores, 1) if scores else np.empty((len(pixels), 0))
        if features.shape != (len(pixels), self.depth) or not np.isfinite(features).all():
            raise CheckpointError(f'{self.network} gives features that are not numbers, or not a row for each square.')
        if shares.shape != (len(pixels), len(scores)) or not ((shares >= 0) & (shares <= 1)).all():
            raise CheckpointError(f'{self.network} gives scores that are not numbers from 0 to 1, one for each square.')
        shares = shares.clip(_LEAST, 1 - _LEAST)
        return features, np.log(shares / (1 - shares))


def _ends(session, path: str) -> tuple[int, int, Collection[str]]:
    """Return side of the squares, number of features, all outputs, once input and output are what they must be."""
    inputs = session.get_inputs()
    outputs = {item.name: item for item in session.get_outputs()}
    square = len(inputs) == 1 and inputs[0].type == 'tensor(uint8)' and len(inputs[0].shape) == 4  # noqa: PLR2004
    if not square or inputs[0].shape[1] != 3 or not isinstance(inputs[0].shape[2], int):  # noqa: PLR2004  RGB
        raise CheckpointError(f'{path} does not take squares of pixels, uint8 RGB (N, 3, S, S): no gate can use it.')
    if FEATURES not in outputs or not isinstance(outputs[FEATURES].shape[-1], int):
        raise CheckpointError(
            f'{path} has no output {FEATURES!r} of a fixed length; it has {", ".join(outputs)}. A gate needs the '
            'packaged model or one like it.'
        )
    depth = outputs[FEATURES].shape[-1]
    if not 0 < depth <= _MOST_FEATURES:
        raise CheckpointError(f'{path} gives {depth} features; a gate takes at most {_MOST_FEATURES}.')
    return inputs[0].shape[2], depth, outputs.keys()


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _corners(length: int, size: int) -> list[int]:
    """Return where squares begin that cover a length, as few as do, evenly spread."""
    return np.linspace(0, length - size, int(np.ceil(length / size))).round().astype(int).tolist()


def picture_statistics(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return cheap statistics of a picture, float64 (len(:func:`statistic_names`),), in the order of the names.

    Args:
        rgb: uint8 (H, W, 3).
        size: (height, width) of the original.
    """
    return np.array(list(_measured(rgb, size).values()), np.float64)


def _measured(rgb: np.ndarray, size: tuple[int, int]) -> dict[str, float]:
    import cv2  # not part of the smallest installation

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    real = grey.astype(np.float32)
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    # Quantiles of bytes by their counts: a tenth of the time of sorting them.
    low, quarter, middle, three, high = np.searchsorted(np.cumsum(shares), (0.01, 0.25, 0.5, 0.75, 0.99 - _TINY))
    values = {
        'laplacian': _log(cv2.Laplacian(real, cv2.CV_32F).var()),
        'brightness': float(real.mean()) / 255,
        'contrast': float(real.std()) / 255,
        'dark_end': low / 255,
        'lower_quarter': quarter / 255,
        'median': middle / 255,
        'upper_quarter': three / 255,
        'bright_end': high / 255,
        'black': float(shares[:4].sum()),  # nothing left after clipping, with a JPEG's ringing
        'white': float(shares[252:].sum()),
    }
    for factor in (2, 4):
        smaller = cv2.resize(real, _scaled(real.shape[1], real.shape[0], 1 / factor), interpolation=cv2.INTER_AREA)
        values[f'laplacian_{factor}'] = _log(cv2.Laplacian(smaller, cv2.CV_32F).var())
    # Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64, 1996, with a median.
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    responses = np.abs(cv2.filter2D(grey, cv2.CV_16S, kernel))
    middle_of = np.searchsorted(np.cumsum(np.bincount(responses.ravel())), responses.size / 2)
    values['noise'] = _log(float(middle_of) / (6 * 0.6745))
    across, down = cv2.Sobel(real, cv2.CV_32F, 1, 0), cv2.Sobel(real, cv2.CV_32F, 0, 1)
    horizontal, vertical = (cv2.norm(slope, cv2.NORM_L2SQR) / real.size for slope in (across, down))
    mixed = float(across.ravel() @ down.ravel()) / real.size
    total = horizontal + vertical
    values['gradient'] = _log(total)
    # Blur by motion leaves gradients of one direction: coherence of the structure tensor.
    values['coherence'] = float(np.hypot(horizontal - vertical, 2 * mixed) / (total + _TINY))
    sharpness = _blocks(np.abs(cv2.Laplacian(real, cv2.CV_32F)))
    values |= {f'block_sharpness_{q:g}': _log(np.quantile(sharpness, q)) for q in (0.1, 0.5, 0.9)}
    values['flat_blocks'] = float((sharpness < 1).mean())
    colours = np.array(cv2.mean(rgb))[:3] / 255
    values['red_green'], values['blue_green'] = float(colours[0] - colours[1]), float(colours[2] - colours[1])
    planes = cv2.split(rgb)
    darkest, lightest = (pick(pick(*planes[:2]), planes[2]) for pick in (cv2.min, cv2.max))
    spread = (lightest - darkest).astype(np.float32)
    values['colourfulness'], values['colour_spread'] = float(spread.mean()) / 255, float(spread.std()) / 255
    # Haze lightens what should be dark: He, Sun, Tang, "Single image haze removal using dark channel prior", CVPR 2009.
    dark = cv2.erode(darkest, np.ones((15, 15), np.uint8))
    values['dark_channel'] = float(dark.mean()) / 255
    values['entropy'] = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum()) / 8
    grid = np.abs(np.diff(real, axis=1)).mean(0)
    values['blocking'] = float(grid[7::8].mean() / (grid.mean() + _TINY)) if len(grid) > 8 else 1.0  # noqa: PLR2004
    values['pixels'] = float(np.log(size[0] * size[1]))
    values['shape'] = float(np.log(size[1] / size[0]))
    return values


def _log(value: float) -> float:
    return float(np.log(max(float(value), 0.0) + 0.01))


def _blocks(values: np.ndarray, side: int = 16) -> np.ndarray:
    """Return the means of squares of ``side`` pixels, float (M,); the whole picture's where it is smaller."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    if not rows or not columns:
        return values.mean(keepdims=True).ravel()
    cut = values[: rows * side, : columns * side]
    return cut.reshape(rows, side, columns, side).mean((1, 3)).ravel()


@functools.cache
def statistic_names() -> tuple[str, ...]:
    """Return the names of the statistics, in their order."""
    return tuple(_measured(np.zeros((16, 16, 3), np.uint8), (16, 16)))
