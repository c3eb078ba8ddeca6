"""The gate named on a command line: a file of ``miqa gate fit``, or a folder of ``miqa gate make``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from miqa.running.requirements import require

if TYPE_CHECKING:
    from miqa.apis.gate_threshold import Gate
    from miqa.apis.model import MIQAModel
    from miqa.labelling.recognised_machines import Trial


def open_gate(args: argparse.Namespace) -> tuple[Gate | None, Callable[[], MIQAModel] | None]:
    """Return the threshold that ``--gate`` names, and for a folder what opens its model.

    Args:
        args: with ``gate``, and ``machine`` where the command has it; beside a folder the options of a model must not
            name another one.

    Raises:
        ImportError: ``machine`` is named, and PyTorch is not installed.
        FileNotFoundError, ValueError: there is no such gate, it is damaged, or ``--model``, ``--weights``, ``--task``
            or ``--label`` choose another model than that of the folder.
    """
    from miqa.apis.gate_opening import gate_place
    from miqa.apis.gate_threshold import Gate

    named = getattr(args, 'machine', None)
    place = None if args.gate is None else gate_place(args.gate)
    if place is None or not place.is_dir():
        if named is not None:
            raise ValueError('--machine needs the folder of a gate of your own: --gate GATE, from `miqa gate make`.')
        if place is None:
            return None, None
        return Gate.load(place), None
    if named is not None:
        require('torch', '--machine')
    from miqa.apis.gate_model import GateFolder

    folder = GateFolder.open(place)
    if args.model or args.weights:
        raise ValueError(f'The gate {args.gate} brings its own model: leave out --model and --weights.')
    for option, value in (('task', folder.task), ('label', folder.label)):
        if getattr(args, option) not in (None, value):
            raise ValueError(f'The gate {args.gate} is for --{option} {value}, not {getattr(args, option)}.')
    machine = None
    if named is not None:
        from miqa.machines.library_names import check_machine_names

        check_machine_names([named], folder.task)
        from miqa.labelling.recognised_machines import complete_configs
        from miqa.machines import build_machine, machine_configs_of
        from miqa.running.devices import usable_device

        configs = complete_configs(
            machine_configs_of([named], folder.task), lambda: _unknown(named, args.gate, folder.task),
            root=folder.folder, of_any_options=True,
        )  # fmt: skip
        names = [config.get('name') for config in configs]
        if len(configs) > 1 and folder.machine.name not in names:
            raise ValueError(f"{named} lists {len(configs)} machines, and none is {folder.machine.name}, the gate's.")
        config = configs[names.index(folder.machine.name) if folder.machine.name in names else 0]
        machine = build_machine(config, str(usable_device(args.device)))
        folder.machine.check(machine, str(folder.folder))
    return folder.threshold(machine), lambda: folder.model(machine, args.batch_size, args.workers)


def _unknown(file: str, gate: str, task: str) -> Trial:
    """Say that the gate has not found out how this network is used; a guess from unmarked pictures might be another."""
    raise ValueError(
        f'How {file} is used is not kept in {gate}: the gate was made with another file. Name a config (.py) of this '
        f'one; this command writes it and makes nothing else: miqa label PICTURES --task {task} --machine '
        f'{shlex.quote(file)} --annotations ANNOTATIONS --out NEW --plan --write-config mine.py'
    )
