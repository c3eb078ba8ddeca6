"""The small inputs and the steps that tests/reliability/check_reliability.py disturbs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

_CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
_PHOTOS, _SIZE = 6, (96, 72)

_MACHINE = '''import numpy as np

def look(images):
    """A classifier of three classes by brightness."""
    distance = [np.abs(image.mean() - np.array([60.0, 128.0, 200.0])) for image in images]
    weights = [np.exp(-each / 20) for each in distance]
    return [each / each.sum() for each in weights]
'''
_MACHINES = (
    "machines = [dict(type='CallableMachine', function='reliability_machine:look', task='cls', name='by_eye')]\n"
)
_CONFIG = """
_base_ = ['{configs}/_base_/default_runtime.py', '{configs}/_base_/datasets/one_view.py',
          '{configs}/_base_/models/resnet18.py', '{configs}/_base_/schedules/paper.py']
task = 'cls'
batch_size = 8
schedule = dict(epochs=2)
default_hooks = dict(checkpoint=dict(per_epoch=20))
model = dict(
    data_preprocessor=dict(views=dict(image=dict(size=32))),
    network=dict(_delete_=True, type='TimmRegressor', model_name='test_resnet.r160_in1k', pretrained=False),
)
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=40)]
train_dataloader = dict(
    num_workers=0, dataset=dict(pipeline=[*_load, dict(type='PackViews', image=32, random=True)])
)
val_dataloader = dict(num_workers=0, dataset=dict(pipeline=[*_load, dict(type='PackViews', image=32)]))
test_dataloader = val_dataloader
visualizer = dict(_delete_=True, type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""
_OPEN_INDEX = (
    'import sys; from miqa.datasets import open_index; from miqa.running.command_line import run_command\n'
    "run_command(lambda: open_index(sys.argv[1], 'cls', 'train') and None)"
)


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of the step.
        output: what it writes, below the folder of a try.
        after: steps whose results it reads.
        command: (work folder, folder of the try) -> words after ``python``.
        brings: folders of earlier steps that are copied into a try, because the command writes beside them.
        reads: folder of input files below the folder of the try, of which one may vanish; empty: none is tried.
        has_refuge: where the output cannot be written, the command takes another folder, and ends well.
        resume: words that the second start has besides.
    """

    name: str
    output: str
    after: tuple[str, ...]
    command: Callable[[Path, Path], list[str]]
    brings: tuple[str, ...] = ()
    reads: str = ''
    has_refuge: bool = False
    resume: tuple[str, ...] = ()

    def words(self, work: Path, folder: Path, again: bool = False) -> list[str]:
        """Return the words after ``python``; ``again`` for a start that goes on where another stopped."""
        return [*self.command(work, folder), *(self.resume if again else ())]

    def prepare(self, work: Path, folder: Path) -> None:
        """Put what earlier steps made into the folder of a try, as hard copies with their times."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.brings:
            source = work / 'reference' / name
            shutil.copytree(source, folder / name, dirs_exist_ok=True)

    def inputs(self, work: Path, folder: Path) -> list[Path]:
        """Return the files of which one may vanish."""
        # A try may spoil its own inputs, never those that all share.
        return sorted(path for path in (folder / self.reads).rglob('*.*') if path.is_file())


def _tool(name: str) -> str:
    return str(Path('tools', f'{name}.py'))


def _data(folder: Path) -> str:
    return str(folder / 'data')


def _weights(work: Path) -> str:
    return str(work / 'reference' / 'run' / 'best.pth')


_SOURCES = 'data/miqa_cls/src_images'
_VERSIONS = 'data/miqa_cls/images'
_MADE = ('data/miqa_cls/src_images', 'data/miqa_cls/images')
_ANSWERED = (*_MADE, 'data/miqa_cls/responses')
_LABELLED = (*_MADE, 'data/miqa_cls/labels', 'data/splits')

#: Every step, in an order in which each finds what it needs.
STEPS = {
    step.name: step
    for step in (
        Step(
            'distort', 'data', (), reads='photos', brings=('photos',), resume=('--jobs', '1'),
            command=lambda work, folder: [
                _tool('data/make_distortions'), str(folder / 'photos'), '--out', _data(folder), '--measures', 'none',
                '--distortions', 'snow', 'darkness', '--patterns', 'uniform', '--jobs', '2',
            ],
        ),
        Step(
            'machines', 'data/miqa_cls/responses', ('distort',), brings=_MADE, reads=_VERSIONS,
            command=lambda work, folder: [
                _tool('data/run_machines'), _data(folder), '--task', 'cls', '--machines', str(work / 'machines.py'),
                '--sources-per-part', '2', '--workers', '0', '--device', 'cpu',
                '--ground-truth', str(work / 'ground_truth.csv'),
            ],
        ),
        Step(
            'label', 'data/miqa_cls/labels', ('machines',), brings=_ANSWERED, reads='data/miqa_cls/responses',
            command=lambda work, folder: [
                _tool('data/make_labels'), _data(folder), '--task', 'cls', '--jobs', '1',
                '--ground-truth', str(work / 'ground_truth.csv'),
            ],
        ),
        Step(
            'split', 'data/splits', ('label',), brings=('data/miqa_cls/labels', _SOURCES),
            command=lambda work, folder: [
                _tool('data/make_splits'),
                _data(folder), '--task', 'cls', '--val-share', '0.34',
            ],
        ),
        Step(
            'index', 'data/.miqa_index', ('split',), brings=_LABELLED, reads='data/miqa_cls/labels', has_refuge=True,
            command=lambda work, folder: ['-c', _OPEN_INDEX, _data(folder)],
        ),
        Step(
            'pack', 'packed', ('split',), brings=_LABELLED, reads=_VERSIONS, resume=('--workers', '1'),
            command=lambda work, folder: [
                _tool('data/pack'), _data(folder), '--task', 'cls', '--split', 'train', '--out', str(folder / 'packed'),
                '--short-side', '40', '--images-per-shard', '64', '--workers', '2',
            ],
        ),
        Step(
            'train', 'run', ('split',), brings=_LABELLED, reads=_VERSIONS, resume=('--resume',),
            command=lambda work, folder: [
                _tool('train'), str(work / 'config.py'), '--data-root', _data(folder), '--work-dir',
                str(folder / 'run'),
            ],
        ),
        Step(
            'benchmark', 'benchmark', ('split', 'train'), brings=_LABELLED, reads=_VERSIONS,
            command=lambda work, folder: [
                _tool('analysis/benchmark'), _data(folder), '--tasks', 'cls', '--methods', 'PSNR', '--labels',
                'composite', '--resamples', '50', '--jobs', '1', '--out', str(folder / 'benchmark'),
            ],
        ),
        Step(
            'image', 'scores.csv', ('train',), brings=('photos',), reads='photos',
            command=lambda work, folder: [
                '-m', 'miqa', 'image', str(folder / 'photos'), '--model', _weights(work), '--device',
                'cpu', '--out', str(folder / 'scores.csv'), '--quiet', '--batch-size', '1',
            ],
        ),
        Step(
            'filter', 'good', ('train',), brings=('photos',), reads='photos',
            command=lambda work, folder: [
                '-m', 'miqa', 'filter', str(folder / 'photos'), '--model', _weights(work), '--device',
                'cpu', '--threshold=-1000', '--to', str(folder / 'good'), '--scores', str(folder / 'kept.jsonl'),
                '--quiet',
            ],
        ),
        Step(
            'video', 'reports', ('train',), brings=('videos',), reads='videos',
            command=lambda work, folder: [
                '-m', 'miqa', 'video', str(folder / 'videos' / 'drive.avi'), '--model',
                _weights(work), '--device', 'cpu', '--out', str(folder / 'reports'), '--frames', '8', '--quiet',
            ],
        ),
        Step(
            'miqa label', 'mine', (), brings=('photos',), reads='photos',
            command=lambda work, folder: [
                '-m', 'miqa', 'label', str(folder / 'photos'), '--out', str(folder / 'mine'),
                '--task', 'cls', '--machine', str(work / 'machines.py'), '--annotations',
                str(work / 'ground_truth.csv'), '--distortions', 'darkness', 'contrast', '--patterns', 'uniform',
                '--jobs', '1', '--device', 'cpu', '--val-share', '0.34', '--quiet',
            ],
        ),
        Step(
            'gate', 'gate.json', (),
            command=lambda work, folder: [
                '-m', 'miqa', 'gate', 'fit', str(work / 'outcomes.csv'), '--model-identity', 'made up', '--out',
                str(folder / 'gate.json'), '--target', '0.7', '--overwrite',
            ],
        ),
    )
}  # fmt: skip


def make_inputs(work: Path) -> None:
    """Write photographs, a video, a machine, a config and a table of outcomes; the same in every run."""
    rng = np.random.default_rng(0)
    photos, videos = (work / 'reference' / name for name in ('photos', 'videos'))
    for folder in (photos, videos):
        folder.mkdir(parents=True, exist_ok=True)
    lines = ['filename,class_index']
    for number in range(_PHOTOS):
        small = Image.fromarray(rng.integers(20 * number, 100 + 25 * number, (5, 7, 3), dtype=np.uint8))
        small.resize(_SIZE, Image.Resampling.BICUBIC).save(photos / f'p{number}.png')
        lines.append(f'p{number}.png,{number % 3}')
    (work / 'ground_truth.csv').write_text('\n'.join(lines) + '\n')
    (work / 'reliability_machine.py').write_text(_MACHINE)
    (work / 'machines.py').write_text(_MACHINES)
    (work / 'config.py').write_text(_CONFIG.format(configs=_CONFIGS.as_posix()))
    writer = cv2.VideoWriter(str(videos / 'drive.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, _SIZE)
    for number in range(30):
        writer.write(np.full((_SIZE[1], _SIZE[0], 3), 8 * number, np.uint8))
    writer.release()
    scores = rng.random(2000)
    outcomes = np.clip(scores + rng.normal(0, 0.1, 2000), 0, 1)
    rows = [f'{score:.6f},{outcome:.6f}' for score, outcome in zip(scores, outcomes, strict=True)]
    (work / 'outcomes.csv').write_text('score,outcome\n' + '\n'.join(rows) + '\n')
