"""Measure how fast a video is read, and that memory does not grow with its length.

Examples:
  # 10,000 frames of 320x240, all of them scored by a stand-in that only takes their mean: reading and memory
  python tools/analysis/benchmark.py video

  # the same with a model, on 500 frames
  python tools/analysis/benchmark.py video --frames 500 --model ra-miqa
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from miqa.apis.video.assess import VideoMIQA

from .timing import highest_memory, in_turns


class MeanBrightness:
    """A stand-in for a model that costs almost no time."""

    def assess(self, images):
        """Return the mean brightness of each picture, 0 to 1."""
        return [float(image.mean()) / 255 for image in images]


def make_video(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Write a video of moving bars; ``size`` is (width, height)."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, size)
    if not writer.isOpened():
        raise OSError('This OpenCV cannot write MPEG-4 videos.')
    bars = np.tile(np.arange(size[0], dtype=np.uint8), (size[1], 1))
    for number in tqdm(range(frames), desc='writing', unit=' frames'):
        writer.write(cv2.merge([np.roll(bars, number * step, axis=1) for step in (1, 2, 3)]))
    writer.release()


def measure(path: Path, model, batch_size: int) -> dict:
    """Score every frame of a video once; ``growth_mb``: how much the most memory held grew after the first tenth."""
    scorer, results = VideoMIQA(model=model, sampling='every', batch_size=batch_size), []
    step, memory = max(1, int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) // 10), []

    def watch(frame: dict) -> None:
        if (frame['index'] + 1) % step == 0:
            memory.append(highest_memory())

    ways = {'score': lambda: results.append(scorer.assess_video(path, on_frame=watch, progress=True))}
    seconds = in_turns(ways, 1, warm_up=False, quiet=True)['score'].seconds
    frames, metadata = results[0]['num_frames_analyzed'], results[0]['metadata']
    decoded = frames * metadata['width'] * metadata['height'] * 3 / 2**20
    speed = {'frames': frames, 'seconds': seconds, 'frames_per_second': frames / seconds}
    return {**speed, 'decoded_mb': decoded, 'growth_mb': memory[-1] - memory[0]}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--frames', type=int, default=10_000, help='length of the video (default: 10000)')
    parser.add_argument('--size', type=int, nargs=2, default=(320, 240), metavar=('WIDTH', 'HEIGHT'))
    parser.add_argument('--batch-size', type=int, default=8, help='default: 8')
    parser.add_argument('--model', metavar='NAME', help='a name of the zoo; default: a stand-in that costs nothing')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Make a video and score it once: --repeats does not count here."""
    if args.frames < 20:
        raise ValueError('At least 20 frames are needed to see whether memory grows.')
    model: object = MeanBrightness()
    if args.model:
        from miqa.apis.model import MIQAModel

        model = MIQAModel(args.model, batch_size=args.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'bars.mp4')
        make_video(path, args.frames, tuple(args.size))
        figures = measure(path, model, args.batch_size)
    yield f'{args.frames} frames of {args.size[0]} x {args.size[1]}', [figures]
