#!/usr/bin/env python
"""Show that long inputs do not grow in memory: a folder of 100,000 names, a video of 10 hours, a camera for 24 hours.

The code is the real one; what would take hours is made: the folder holds one small picture under many names (links),
the video's decoder and the camera give small made frames as fast as they are taken, and the model scores the mean.
Private memory is measured at the first tenth of each input, once all is loaded, and at the end; it must not have grown
by more than --most MB. A name costs some bytes, as each file is scored once, whatever links lead to it. Exits with 1
where something grows.

Examples:
  python tools/analysis/check_memory.py
  python tools/analysis/check_memory.py --names 1000000 --hours 100
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from cases.timing import memory_in_use
from PIL import Image

from miqa.apis.live.realtime import RealTimeIQA
from miqa.apis.stream import prepared_batches
from miqa.apis.video import assess
from miqa.apis.video.containers import Container
from miqa.apis.video.facts import VideoFacts
from miqa.apis.video.reader import Frame, VideoReader, make_info
from miqa.apis.video.timeline import Timeline
from miqa.pictures import read_image
from miqa.pictures.finding import find_images
from miqa.running.command_line import ToolParser, run_command

FPS = 30  # Frames a second of the made video and camera


class Growth(NamedTuple):
    """How memory grew: MB from the first tenth of the items to the end."""

    name: str
    items: int
    megabytes: float


class Meter:
    """Notes private memory when a tenth of the items is done, and when it is asked."""

    def __init__(self, items: int):
        self.items, self.done, self.first = items, 0, 0.0

    def __call__(self, count: int = 1) -> None:
        """Count items."""
        before, self.done = self.done, self.done + count
        if before < self.items // 10 <= self.done:
            self.first = memory_in_use()[0]

    def growth(self) -> float:
        """Return MB since the first tenth."""
        if self.done < self.items:
            raise RuntimeError(f'Only {self.done:,} of {self.items:,} items came.')
        return memory_in_use()[0] - self.first


class MeanScorer:
    """A model that scores the mean brightness."""

    def assess(self, images: list[np.ndarray]) -> list[float]:
        """Score uint8 pictures."""
        return [float(image.mean()) / 255 for image in images]


def folder_of(names: int, root: Path) -> Growth:
    """Search a folder with so many names and decode every picture, as ``miqa image`` does."""
    (root / 'one').mkdir()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(root / 'one' / 'picture.png')
    for start in range(0, names, 1000):
        part = root / 'many' / f'{start:09d}'
        part.mkdir(parents=True)
        for number in range(start, min(start + 1000, names)):
            name = f'a_name_as_long_as_those_of_databases_{number:09d}.png'
            (part / name).symlink_to('../../one/picture.png')
    meter, model = Meter(names), MeanScorer()
    for batch in prepared_batches(find_images([str(root / 'many')]), lambda path, name: read_image(path), 64):
        model.assess([item.pixels for item in batch])
        meter(len(batch))
    return Growth('folder', names, meter.growth())


class MadeReader(VideoReader):
    """A video of so many small frames, never decoded."""

    def __init__(self, path: Path, frames: int, meter: Meter):
        super().__init__(path, Container('made', counts_frames=True))
        self.info, self.count, self.meter = make_info(frames, FPS, None, 16, 16, 'made'), frames, meter
        self.facts = VideoFacts(frames, None, None, None)

    def _decode(self, choose: Callable[[int, float], bool], timeline: Timeline) -> Iterator[Frame]:
        for index in range(self.count):
            moment = timeline.add(index / FPS)
            self.frames_read += 1
            self.meter()
            if choose(index, moment):
                yield Frame(index, moment, np.full((16, 16, 3), index % 256, np.uint8))

    def close(self) -> None:
        """Nothing is open."""


def video_of(hours: float) -> Growth:
    """Score 30 frames of a video of so many hours, as ``miqa video`` does."""
    frames = int(hours * 3600 * FPS)
    meter = Meter(frames)

    def open_made(path, **_) -> MadeReader:
        return MadeReader(Path(path), frames, meter)

    with mock.patch.object(assess, 'open_video', open_made):
        result = assess.VideoMIQA(MeanScorer()).assess_video('made.mp4')
    if result['num_frames_analyzed'] != 30:
        raise RuntimeError(f'{result["num_frames_analyzed"]} frames were scored, not 30.')
    return Growth('video', frames, meter.growth())


def camera_of(hours: float, frames: int) -> Growth:
    """Follow a camera for so many frames, each of which stands for a share of the hours."""
    meter = Meter(frames)

    def made() -> Iterator[np.ndarray]:
        for number in range(frames):
            yield np.full((16, 16, 3), number % 256, np.uint8)

    camera = RealTimeIQA(MeanScorer())
    summary = camera.run(made(), display='none', every_frame=True, on_result=lambda _: meter())
    if summary['frames_scored'] != frames:
        raise RuntimeError(f'{summary["frames_scored"]:,} of {frames:,} frames were scored.')
    return Growth(f'camera ({hours:g} h, {frames / hours / 3600:.1f} frames a second)', frames, meter.growth())


def main() -> int:
    """Measure, print; 1 where something grew."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--names', type=int, default=100_000, help='in the folder (default: 100,000)')
    parser.add_argument('--hours', type=float, default=10, help='of the video (default: 10)')
    parser.add_argument('--camera-hours', type=float, default=24, help='of the camera (default: 24)')
    parser.add_argument('--camera-frames', type=int, default=86_400, help='scored in that time (default: one a second)')
    parser.add_argument('--most', type=float, default=64, help='MB that may be added (default: 64)')
    args = parser.parse_args()
    grew = False
    with tempfile.TemporaryDirectory(prefix='miqa_memory_') as folder:
        checks: list[Callable[[], Growth]] = [
            lambda: folder_of(args.names, Path(folder)),
            lambda: video_of(args.hours),
            lambda: camera_of(args.camera_hours, args.camera_frames),
        ]
        for check in checks:
            started = time.monotonic()
            name, items, megabytes = check()
            grew |= megabytes > args.most
            print(
                f'{"GREW" if megabytes > args.most else "ok":5}{name}: {items:,} items, {megabytes:+.1f} MB from the '
                f'first tenth to the end (at most {args.most:g}), {time.monotonic() - started:.0f} s', flush=True,
            )  # fmt: skip
    return int(grew)


if __name__ == '__main__':
    run_command(main)
