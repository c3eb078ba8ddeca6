"""What the page answers: pictures and videos in, HTML, pictures and tables out. Knows nothing of Gradio."""

from __future__ import annotations

import html
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from miqa.utils import UnreadableImage, read_image

from .quality import quality_of
from .score_panel import clock, score_color
from .scoring import Scorer, score_images, scorer_thresholds
from .video import VideoMIQA
from .video_reading import VIDEO_SUFFIXES, open_video
from .video_report import plot_video


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes:
        upload_mb: size of an uploaded file, in MB.
        megapixels: size of a picture.
        pictures: pictures in one comparison.
        video_minutes: length of a video.
    """

    upload_mb: int = 500
    megapixels: float = 100.0
    pictures: int = 24
    video_minutes: float = 60.0

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
            model = self._model(task, label)
            image = self._read(path)
            if not heatmap:
                return score_card(score_images(model, [image], Path(path).name)[0], model), None
            found = model.assess(image, heatmap=True)
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
                    image = self._read(path)
                except ValueError as error:
                    problems.append(str(error))
                    continue
                score = score_images(model, [image], Path(path).name)[0]
                scored.append((score, Path(path).name, _thumbnail(image)))
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
        if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f'{name}: the page takes videos that end in {", ".join(VIDEO_SUFFIXES)}.')
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
                result = VideoMIQA(model=model, num_frames=int(frames)).assess_video(path)
        except ValueError as error:
            # The folder of uploads is nobody's business.
            raise ValueError(str(error).replace(str(path), name)) from error
        figure = plot_video(result, 'both' if result['num_seconds'] > 1 else 'frames')
        figure.set_dpi(110)
        figure.canvas.draw()
        curve = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert('RGB')
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

    def _read(self, path: str) -> np.ndarray:
        name = Path(path).name
        try:
            with Image.open(path) as picture:
                megapixels = picture.width * picture.height / 1e6
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            megapixels = 0.0  # read_image, below, says what is wrong
        if megapixels > self.limits.megapixels:
            raise UnreadableImage(
                f'{name} has {megapixels:.3g} megapixels; this page takes up to {self.limits.megapixels:g}.'
            )
        rgb = read_image(Path(path).read_bytes(), name)
        return np.ascontiguousarray(rgb[:, :, ::-1])


def score_card(score: float, model: Scorer, note: str = '') -> str:
    """Return a score, its quality and its place on the scale as HTML."""
    word = _quality(score, model)
    blue, green, red = score_color(score)
    # Dark text on light colours and the other way round; 0.299, 0.587, 0.114: luma of ITU-R BT.601.
    ink = '#14171a' if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else '#ffffff'
    share = 100 * min(1.0, max(0.0, score))
    thresholds = scorer_thresholds(model)
    ticks = ''.join(f'<i class="tick" style="left:{100 * value:.1f}%"></i>' for value in thresholds if 0 < value < 1)
    return (
        '<div class="miqa-card">'
        f'<div class="miqa-line"><span class="miqa-score">{score:.3f}</span>'
        f'<span class="miqa-word" style="background:rgb({red},{green},{blue});color:{ink}">'
        f'{html.escape(word)}</span></div>'
        f'<div class="miqa-scale">{ticks}<b style="left:{share:.1f}%"></b></div>'
        '<div class="miqa-ends"><span>0: vision models fail on it</span><span>1: as good as clean</span></div>'
        + (f'<div class="miqa-note">{html.escape(note)}</div>' if note else '')
        + '</div>'
    )


def problem_list(sentences: Sequence[str]) -> str:
    """Return sentences about what went wrong as HTML; nothing for none."""
    items = ''.join(f'<li>{html.escape(sentence)}</li>' for sentence in sentences)
    return f'<ul class="miqa-problems">{items}</ul>' if items else ''


def _quality(score: float, model: Scorer) -> str:
    return quality_of(score, scorer_thresholds(model))


def _thumbnail(image: np.ndarray, side: int = 480) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    picture.thumbnail((side, side))
    return picture
