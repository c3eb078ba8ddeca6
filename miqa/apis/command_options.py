"""Options shared by several sub-commands."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miqa.outside.addresses import address_in_path, is_web_address
from miqa.outside.names import printable
from miqa.outside.regular_files import check_regular, missing_file
from miqa.outside.walking import suffix_of
from miqa.pictures.suffixes import IMAGE_SUFFIXES
from miqa.running.command_line import process_count, sentence, whole_number
from miqa.taxonomy import LABELS, TASKS

if TYPE_CHECKING:
    from miqa.labelling.label_job import LabelJob

    from .model import MIQAModel

SOME_FAILED = 3  # Exit status when the work is done but some files could not be read


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and how it computes."""
    group = parser.add_argument_group('model')
    group.add_argument('--model', '-m', metavar='NAME|FILE',
                       help='a name of `miqa models` (default: miqa-lite), or a file')  # fmt: skip
    group.add_argument('--task', choices=TASKS, help='which vision task the scores speak of (default: cls)')
    group.add_argument('--label', choices=LABELS, help='what the scores predict (default: composite)')
    group.add_argument('--weights', '-w', metavar='FILE', help='as --model FILE; must agree with a --model NAME')
    group.add_argument('--device', help='cpu, cuda, cuda:1 (default: a GPU where there is one)')
    group.add_argument('--precision', choices=('auto', 'fp32', 'bf16', 'fp16', 'int8'),
                       help='default: auto, the fastest whose scores agree with fp32')  # fmt: skip
    group.add_argument('--coverage', choices=('center', 'whole'), default='center',
                       help='whole: overlapping squares instead of the central one (default: center)')  # fmt: skip
    group.add_argument('--batch-size', type=int, metavar='N', help='images at a time (default: GPU: 32, CPU: up to 8)')
    group.add_argument('--workers', type=int, metavar='N', help='decoding threads (default: one per core)')
    group.add_argument('--compile', nargs='?', const=True, default=False, metavar='MODE',
                       help='torch.compile, or its mode: max-autotune, reduce-overhead')  # fmt: skip
    group.add_argument('--thresholds', nargs=2, type=float, metavar=('HIGH', 'MEDIUM'),
                       help='lowest scores called high and medium (default: 0.76 0.47)')  # fmt: skip


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how picture files are read."""
    group = parser.add_argument_group('reading')
    group.add_argument('--decode', choices=('exact', 'fast'),
                       help='fast: JPEGs at reduced size, with slightly different scores (default: fast for '
                            'miqa-lite, else exact)')  # fmt: skip
    group.add_argument('--value-range', type=sentence(_value_range), metavar='[BLACK,]WHITE',
                       help='black and white of files with more than 8 bits, such as 4095')  # fmt: skip


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miqa label` and `miqa gate make` that name pictures and machines and say how these run."""
    parser.add_argument('images', metavar='FOLDER', help='pictures, searched recursively')
    parser.add_argument('--machine', nargs='+', required=True, metavar='MACHINE',
                        help='a model of torchvision or transformers, an .onnx, Ultralytics .pt or config')  # fmt: skip
    parser.add_argument('--annotations', metavar='PATH',
                        help='COCO JSON, folder of YOLO or VOC files, CSV; cls: CSV or FOLDER itself; seg: folder of '
                             'maps; without: consistency alone')  # fmt: skip
    parser.add_argument('--classes', nargs='+', metavar='NAME',
                        help='class names in the order of their index, or a file with one per line')  # fmt: skip
    parser.add_argument('--as-shown', action='store_true',
                        help='annotations of pictures turned by EXIF are of these as shown')  # fmt: skip
    parser.add_argument('--machine-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='how an .onnx is used: size=416x416, layout=yolo, channels=bgr, ...')  # fmt: skip
    parser.add_argument('--pairs', metavar='CSV', help='columns clean,degraded: these instead of distortions')
    parser.add_argument('--unpaired', action='store_true', help='single pictures as they are: accuracy alone')
    parser.add_argument('--plan', action='store_true', help='print a cost estimate and exit')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 (default: a GPU if there is one)')
    parser.add_argument(
        '--batch-size', type=whole_number(1), default=16, help='pictures for a machine at a time (default: 16)'
    )
    parser.add_argument(
        '--workers', type=whole_number(0), default=0, help='processes that decode (default: 0, this one)'
    )
    parser.add_argument(
        '--jobs', type=process_count, default=-1, help='processes that distort and score (default: all cores)'
    )
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress line')


def label_job(
    args: argparse.Namespace, root: str | Path, config_root: str | Path, write_config: str | None = None,
    check: Callable[[LabelJob], None] | None = None, **more: Any,
) -> LabelJob:  # fmt: skip
    """Return the job of :func:`add_source_options` in the database ``root``, with complete machines.

    The use of network files is stored in ``config_root``, where a plan only looks for it, and written as a config to
    ``write_config``; ``check`` is called with the job before network files are tried, which takes minutes; ``more`` are
    fields of :class:`miqa.labelling.label_job.LabelJob`.
    """
    from miqa.labelling.label_job import LabelJob
    from miqa.labelling.recognised_machines import complete_configs, given_classes, trial_of_folder
    from miqa.machines import machine_configs_of
    from miqa.machines.recognition.options import file_option
    from miqa.running.allocator import keep_freed_memory, keep_some_freed_memory
    from miqa.running.devices import usable_device
    from miqa.taxonomy import distortions_named

    keep_some_freed_memory()  # of the processes that make pictures
    keep_freed_memory()
    device, classes = str(usable_device(args.device)), given_classes(args.classes)
    job = LabelJob(
        images=args.images, root=root, task=args.task, machines=machine_configs_of(args.machine, args.task),
        annotations=args.annotations, classes=classes, as_shown=args.as_shown, pairs=args.pairs, unpaired=args.unpaired,
        distortions=distortions_named(args.distortions), seed=args.seed, device=device, batch_size=args.batch_size,
        workers=args.workers, jobs=args.jobs, **more,
    )  # fmt: skip
    if check is not None:
        check(job)
    machines = complete_configs(
        job.machines,
        lambda: trial_of_folder(args.images, args.task, args.annotations, classes, args.pairs, args.as_shown),
        classes,
        dict(map(file_option, args.machine_options)),
        device,
        config_root,
        write_config,
        keep=not args.plan,
    )
    return replace(job, machines=machines)


def _value_range(text: str) -> float | tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(','))
    except ValueError:
        raise ValueError(
            f'the value of white, such as 4095, or of black and white, such as 0,4095; not {text!r}'
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


#: Verb -> what its files are called, the other verb, and what that verb's files are.
_OTHERS = {'image': ('image', 'video', 'a video'), 'video': ('video', 'image', 'a picture')}


def check_named(paths: Sequence[str], verb: str, found: object) -> None:
    """Check, before a model is loaded, that something of what the user names can be read.

    ``verb`` is ``image`` or ``video``; ``found`` the files that the paths mean, where that is a list.

    Raises:
        ValueError: all of them are files of the other verb.
        FileNotFoundError: none of them is there.
    """
    if any(path == '-' or is_web_address(path) for path in paths) or not isinstance(found, list):
        return
    object_word, other, word = _OTHERS[verb]
    endings = _video_suffixes() - IMAGE_SUFFIXES if verb == 'image' else IMAGE_SUFFIXES - _video_suffixes()
    if all(os.path.isfile(path) and suffix_of(os.path.basename(path)) in endings for path in paths):  # noqa: PTH113, PTH119
        raise ValueError(f'{printable(paths[0])} is {word}. Run: miqa {other} {shlex.quote(paths[0])}')
    if found and not any(os.path.lexists(path) for path in found):
        name = printable(str(found[0]))
        kind = f'{object_word} file' if suffix_of(os.path.basename(name)) else f'{object_word} file or folder'  # noqa: PTH119
        error = missing_file(kind, name)
        if len(found) > 1:
            raise FileNotFoundError(f'{str(error)[:-1]} (nor any other of the {len(found)} named).')
        raise error


def check_sources(images: str, annotations: str | None, pairs: str | None) -> None:
    """Check that the folder of pictures, and what is named beside it, are there, before anything is imported for them.

    Raises:
        FileNotFoundError: one is not.
        NotARegularFile: annotations or pairs are a pipe or a device.
    """
    if not os.path.isdir(images):  # noqa: PTH112
        raise FileNotFoundError(f'There is no folder of pictures {address_in_path(images) or images}.')
    for path, kind in ((annotations, 'annotations'), (pairs, 'pairs')):
        if path is not None and not os.path.exists(path):  # noqa: PTH110
            raise FileNotFoundError(f'There are no {kind} {path}.')
        if path is not None and not os.path.isdir(path):  # noqa: PTH112
            check_regular(path, kind=f'file of {kind}')


def _video_suffixes() -> frozenset[str]:
    from .video.containers import VIDEO_SUFFIXES

    return frozenset(VIDEO_SUFFIXES)


def check_model_options(args: argparse.Namespace) -> None:
    """Check that the model's name is known and its file is there, in milliseconds, before anything is imported for it.

    Raises:
        ValueError, FileNotFoundError: as for :func:`miqa.apis.zoo.loading.name_and_weights`; or there is no such file.
    """
    from .zoo.loading import name_and_weights

    _, weights = name_and_weights(args.model, args.weights)
    if weights is not None and not Path(weights).expanduser().exists():
        raise FileNotFoundError(f'There is no weights file {weights}.')


def load_model(args: argparse.Namespace, keep_memory: bool = True) -> MIQAModel:
    """Build the model that the options choose.

    Args:
        args: the options.
        keep_memory: let the process keep its highest use of memory, which is faster; not for servers, which run for
            weeks and whose memory should be that of their present request.
    """
    # PyTorch takes seconds to import; --help does not wait for it.
    from miqa.running.allocator import keep_freed_memory

    from .model import MIQAModel

    names = ('task', 'label', 'weights', 'device', 'precision', 'batch_size', 'workers', 'compile', 'coverage')
    options: dict[str, Any] = {name: getattr(args, name) for name in names}
    options |= {name: getattr(args, name, None) for name in ('decode', 'value_range')}
    model = MIQAModel(args.model, thresholds=args.thresholds, **options)
    if keep_memory:
        keep_freed_memory()
    return model
