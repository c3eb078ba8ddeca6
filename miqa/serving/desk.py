"""What the page answers: pictures and videos in, HTML, pictures and tables out. Knows nothing of Gradio."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from miqa.apis.drawings.score_panel import clock, score_color
from miqa.apis.quality import quality_of
from miqa.apis.scoring import Scorer, score_images, scorer_thresholds
from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.reading import open_video
from miqa.apis.video.report import plot_video
from miqa.pictures import UnreadableImage
from miqa.pictures.reading import picture_size, read_preview
from miqa.reports.escaped_html import render

#: Pixels that a model which takes no files is given of a larger picture.
_MOST_PIXELS = 16_000_000


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes:
        upload_mb: size of an uploaded file, in MB.
        megapixels: size of a picture.
        pictures: pictures in one comparison.
        video_minutes: length of a video.
        frames: scored frames of a video.
    """

    upload_mb: int = 500
    megapixels: float = 100.0
    pictures: int = 24
    video_minutes: float = 60.0
    frames: int = 300

    def __post_init__(self):
        """Refuse limits that let nothing through."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f'The limit {name} must be positive, not {value}.')


class Desk:
    """Answers the page's requests, one at a time: the model is shared.

    Args:
        load_model: (task, label) -> model; called when a pair is first asked for. The last two models are kept.
        limits: what a request may ask for.
    """

    KEPT_MODELS = 2

    def __init__(self, load_model: Callable[[str, str], Scorer], limits: Limits | None = None):
        self.limits = limits or Limits()
        self._load_model = load_model
        self._models: OrderedDict[tuple[str, str], Scorer] = OrderedDict()
        self._lock = threading.Lock()

    def picture(self, path: str, task: str, label: str, heatmap: bool) -> tuple[str, Image.Image | None]:
        """Score one picture.

        Returns:
            The score as HTML, and with ``heatmap`` the overlay.

        Raises:
            ValueError: the picture is damaged or too large; the message names it by its own name.
        """
        with self._lock:
            model: Any = self._model(task, label)
            name = self._check_size(path)
            if not heatmap:
                return score_card(_score(model, path, name), model), None
            try:
                found = model.assess(path if _reads_files(model) else _pixels(path, name), heatmap=True)
            except (ValueError, OSError) as error:
                raise ValueError(str(error).replace(str(path), name)) from error
            return score_card(found.score, model), found.overlay()

    def compare(
        self, paths: Sequence[str], task: str, label: str
    ) -> tuple[list[tuple[Image.Image, str]], list[list], str]:
        """Score several pictures, best first.

        Returns:
            Thumbnails with captions; table rows of rank, name, score and quality; and HTML that names the pictures that
            could not be read.
        """
        if len(paths) > self.limits.pictures:
            raise ValueError(f'At most {self.limits.pictures} pictures can be compared at a time, not {len(paths)}.')
        scored, problems = [], []
        with self._lock:
            model = self._model(task, label)
            for path in paths:
                try:
                    name = self._check_size(path)
                    scored.append((_score(model, path, name), name, _thumbnail(path, name)))
                except ValueError as error:
                    problems.append(str(error))
        scored.sort(key=lambda entry: -entry[0])
        words = [_quality(score, model) for score, _, _ in scored]
        gallery = [(thumbnail, f'{score:.3f} · {name}') for score, name, thumbnail in scored]
        rows = [
            [rank, name, round(score, 4), word]
            for rank, ((score, name, _), word) in enumerate(zip(scored, words, strict=True), 1)
        ]
        return gallery, rows, problem_list(problems)

    def video(self, path: str, task: str, label: str, frames: int) -> tuple[str, Image.Image, list[list]]:
        """Score a video at ``frames`` places.

        Returns:
            The mean score as HTML, the curve, and table rows of the worst segments: from, to, mean, lowest.

        Raises:
            ValueError: it is no video, or too long.
        """
        name = Path(path).name
        if not 1 <= frames <= self.limits.frames:
            raise ValueError(f'Between 1 and {self.limits.frames} frames can be scored here, not {frames:g}.')
        try:
            with open_video(path) as reader:
                minutes = reader.info.duration / 60
            if minutes > self.limits.video_minutes:
                raise ValueError(
                    f'{name} lasts {minutes:.0f} minutes; this page takes up to {self.limits.video_minutes:g}. Use '
                    '`miqa video` on the command line for it.'
                )
            with self._lock:
                model = self._model(task, label)
                result = VideoMIQA(model=model, num_frames=int(frames)).assess_video(
                    path, max_seconds=60 * self.limits.video_minutes + 1
                )
        except ValueError as error:
            # The folder of uploads is nobody's business.
            raise ValueError(str(error).replace(str(path), name)) from error
        figure = plot_video(result, 'both' if result['num_seconds'] > 1 else 'frames')
        figure.set_dpi(110)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        curve = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert('RGB')
        rows = [
            [clock(part['start']), clock(part['end']), round(part['mean_score'], 4), round(part['min_score'], 4)]
            for part in result['worst_segments']
        ]
        note = f'Mean of {result["num_frames_analyzed"]} frames of {clock(result["metadata"]["duration"])}.'
        card = score_card(result['mean_score'], model, note) + problem_list(result['warnings'])
        return card, curve, rows

    def _model(self, task: str, label: str) -> Scorer:
        key = (task, label)
        if key not in self._models:
            self._models[key] = self._load_model(task, label)
            while len(self._models) > self.KEPT_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def _check_size(self, path: str) -> str:
        """Return a picture's own name, if the page takes pictures of its size; only its header is read."""
        name = Path(path).name
        width, height = picture_size(path, name)
        megapixels = width * height / 1e6
        if megapixels > self.limits.megapixels:
            raise UnreadableImage(
                f'{name} has {megapixels:.3g} megapixels; this page takes up to {self.limits.megapixels:g}.'
            )
        return name


def _reads_files(model: Scorer) -> bool:
    # A MIQAModel decodes large pictures at the scale that it needs; stand-ins take pixels.
    return hasattr(model, 'prepare') and hasattr(model, 'score_pixels')


def _score(model: Any, path: str, name: str) -> float:
    if _reads_files(model):
        return float(model.score_pixels(model.prepare(path, name)[None])[0])
    return score_images(model, [_pixels(path, name)], name)[0]


def _pixels(path: str, name: str) -> np.ndarray:
    """Return a picture as uint8 BGR, made smaller where it is very large."""
    return np.ascontiguousarray(read_preview(path, _MOST_PIXELS, name)[:, :, ::-1])


def score_card(score: float, model: Scorer, note: str = '') -> Markup:
    """Return a score, its quality and its place on the scale as HTML."""
    word = _quality(score, model)
    blue, green, red = score_color(score)
    # Dark text on light colours and the other way round; 0.299, 0.587, 0.114: luma of ITU-R BT.601.
    ink = '#14171a' if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else '#ffffff'
    ticks = [100 * value for value in scorer_thresholds(model) if 0 < value < 1]
    place = 100 * min(1.0, max(0.0, score))
    values = dict(score=score, word=word, color=(red, green, blue), ink=ink, ticks=ticks, place=place, note=note)
    return render('miqa.serving', 'score_card.html', **values)


def problem_list(sentences: Sequence[str]) -> Markup:
    """Return sentences about what went wrong as HTML; nothing for none."""
    return render('miqa.serving', 'problem_list.html', sentences=sentences)


def _quality(score: float, model: Scorer) -> str:
    return quality_of(score, scorer_thresholds(model))


def _thumbnail(path: str, name: str, side: int = 480) -> Image.Image:
    picture = Image.fromarray(read_preview(path, side * side, name))
    picture.thumbnail((side, side))
    return picture
