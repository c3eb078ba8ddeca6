"""Decoders of damaged videos can be left at any moment."""

import random
import subprocess
import sys

import pytest
from helpers_videos import ffmpeg

pytest.importorskip('av', reason='no PyAV (pip install av)')

READ_AND_LEAVE = """
import sys
import av.logging
av.logging.set_level(av.logging.ERROR)  # as torchvision does when it is imported
from miqa.apis.video.reading import open_video
for path in sys.argv[1:]:
    for number in range(1, 40):
        with open_video(path) as video:
            next(video.frames(lambda index, time: index == number), None)
        del video
        dropped = open_video(path)
        next(dropped.frames(lambda index, time: index == number), None)
        del dropped
print('left')
"""


def test_damaged_videos_are_left_at_any_frame_while_their_decoder_complains(tmp_path):
    """A decoder's thread that waits for Python's lock to complain, and a close that waits for the thread: no end."""
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=30:duration=3', '-g', '30', tmp_path / 'whole.mp4')
    data = (tmp_path / 'whole.mp4').read_bytes()
    for seed in range(6):
        rng, damaged = random.Random(seed), bytearray(data)
        for _ in range(60):
            damaged[rng.randrange(2000, len(data) - 3000)] ^= rng.randrange(1, 256)
        (tmp_path / f'{seed}.mp4').write_bytes(damaged)
    program = [sys.executable, '-c', READ_AND_LEAVE, *map(str, tmp_path.glob('[0-9]*.mp4'))]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.strip() == 'left', done.stderr[-2000:]
