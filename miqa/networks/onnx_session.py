"""ONNX Runtime sessions on the requested device, or an error."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from miqa.errors import CheckpointError
from miqa.keeping.files import state_of_file
from miqa.outside.regular_files import read_regular
from miqa.running.cores import usable_cores
from miqa.running.devices import Device
from miqa.running.forks import OpeningProcess
from miqa.running.requirements import require
from miqa.taxonomy import check_choice

from .onnx_files import ONNX_BYTES, OnnxFile, read_onnx

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    import torch

logger = logging.getLogger(__name__)
_CPU = 'CPUExecutionProvider'
#: What the weights and tensors of limited sessions may take on the CPU, in bytes, and those of vision models, which run
#: on large pictures and many at a time: a file from elsewhere may ask for tensors of any size.
MOST_MEMORY, MOST_MEMORY_OF_MACHINES = 4 << 30, 16 << 30
#: Seconds that the first run of a session may take: how often a stranger's loops go round is known when they run.
FIRST_RUN_SECONDS = 1200.0
SECONDS_OF_AN_OPERATOR = 60.0  # that a run may take on to end, once it is given up
#: Type of device -> ONNX Runtime's provider for it. TensorRT builds its engine at the first batch, for minutes.
PROVIDERS = {'cpu': _CPU, 'cuda': 'CUDAExecutionProvider', 'tensorrt': 'TensorrtExecutionProvider'}
_DEVICES = {provider: name for name, provider in PROVIDERS.items()}
#: Bytes that the registered allocator gives at most.
_registered: int | None = None


def open_onnx(
    path: str | os.PathLike,
    device: str | Device | torch.device | None = None,
    threads: int | None = None,
    limited: bool = False,
    sha256: str | None = None,
    file: OnnxFile | None = None,
) -> tuple[OnnxSession, Device]:
    """Open an ONNX file.

    Args:
        path: the file.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt``; None for a GPU where ONNX Runtime can use one.
        threads: threads of one operator; None for one a core that this process may use.
        limited: for quality models: only operators on tensors, and what they compute may take :data:`MOST_MEMORY` on
            the CPU at most, all such sessions together; others :data:`MOST_MEMORY_OF_MACHINES`.
        sha256: of a file that this project ships; one that has it is not looked through.
        file: what was read of it already.

    Returns:
        The session, and the device on which it computes.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a whole ONNX file, or holds what is not allowed.
        MissingPackage: ONNX Runtime or `onnx` is not installed.
        ValueError: ONNX Runtime cannot compute on the device.
    """
    onnxruntime = require('onnxruntime', 'Running an ONNX file')
    file = file or _shipped(path, sha256) or read_onnx(path, plain=limited)
    requested = Device.of(device) if device is not None else None
    providers = _providers(onnxruntime, requested)
    # Some builds report their use to their maker.
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and not printed, too
    # Never its own format, which it would tell by four bytes of the name of the program that wrote the file.
    options.add_session_config_entry('session.load_model_format', 'ONNX')
    # Its own default counts the machine's cores, whatever share of them a container may use. And threads that have
    # nothing to do sleep: by default they wait in a loop, which beside decoding threads or other programs took half of
    # the processor time.
    options.intra_op_num_threads = usable_cores() if threads is None else threads
    for pool in ('intra_op', 'inter_op'):
        options.add_session_config_entry(f'session.{pool}.allow_spinning', '0')
    if not file.foldable:
        options.add_session_config_entry('optimization.disable_specified_optimizers', 'ConstantFolding')
    _limit_memory(onnxruntime, options, MOST_MEMORY if limited else MOST_MEMORY_OF_MACHINES)
    try:
        if file.numbers:
            contents = list(file.numbers.values())
            options.add_external_initializers_from_files_in_memory(
                list(file.numbers), contents, [len(content) for content in contents]
            )
        session = onnxruntime.InferenceSession(file.model, options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no base class but this one
        text = _first_line(error)
        if any(sign in text for sign in _LACKING):
            raise CheckpointError(
                f'{path} holds what ONNX Runtime {onnxruntime.__version__} cannot compute: {text}. Export it with a '
                'lower opset (17) and in float32, or update onnxruntime.'
            ) from error
        raise CheckpointError(f'{path} is not a whole ONNX file: {text}') from error
    used = _device_in_use(session.get_providers(), requested)
    return OnnxSession(session, (os.fspath(path), device, threads, limited, sha256)), used


class OnnxSession:
    """A session of ONNX Runtime that never hangs after a fork, and is opened anew where it was pickled.

    Args:
        session: what runs.
        options: of :func:`open_onnx`, in their order.
    """

    def __init__(self, session: onnxruntime.InferenceSession, options: tuple):
        self._session, self._options, self._state = session, options, state_of_file(options[0])
        self._opened, self._has_run, self._first = OpeningProcess(), False, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Sequence[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the named outputs, or all.

        Raises:
            CheckpointError: the process was forked since: the session would wait for threads of the parent for ever,
                and so does one that is opened anew after a fork. Or its first run has not ended in time.
        """
        self._opened.check(self._options[0], 'ONNX Runtime')
        if self._has_run:
            return self._session.run(names, feeds)
        options = self._first = self._first or require('onnxruntime', 'Running an ONNX file').RunOptions()
        ended = threading.Event()
        timer = threading.Timer(FIRST_RUN_SECONDS, self._give_up, (options, ended))
        timer.daemon = True
        timer.start()
        try:
            outputs = self._session.run(names, feeds, options)
        except Exception as error:
            if options.terminate:
                raise CheckpointError(
                    f'{self._options[0]} has computed for {FIRST_RUN_SECONDS:g} seconds without an end, and is given '
                    'up. Does it hold a loop that never ends?'
                ) from error
            raise
        finally:
            ended.set()
            timer.cancel()
        self._has_run = True
        return outputs

    def _give_up(self, options: onnxruntime.RunOptions, ended: threading.Event) -> None:
        options.terminate = True  # heeded between two operators
        if not ended.wait(SECONDS_OF_AN_OPERATOR):
            logger.warning(
                '%s computes one operator without an end, which nothing within this process can stop: end the process, '
                'and do not use the file.', self._options[0],
            )  # fmt: skip

    def __reduce__(self) -> tuple:
        return _opened_again, (self._options, self._state)


def _opened_again(options: tuple, state: tuple[int, int, int] | None) -> OnnxSession:
    if state_of_file(options[0]) != state:
        raise CheckpointError(f'{options[0]} has changed since it was opened. Open the model in this process.')
    return open_onnx(*options)[0]


def _shipped(path: str | os.PathLike, sha256: str | None) -> OnnxFile | None:
    data = None if sha256 is None else read_regular(path, ONNX_BYTES, kind='ONNX file')
    return OnnxFile(data) if data is not None and hashlib.sha256(data).hexdigest() == sha256 else None


#: What ONNX Runtime says of operators that it lacks, and of versions after its own.
_LACKING = ('NOT_IMPLEMENTED', 'is not a registered function/op', 'ValidateOpset', 'Unsupported model IR version')


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _limit_memory(onnxruntime: ModuleType, options: onnxruntime.SessionOptions, most: int) -> None:
    """Let a session share what may be allocated with all sessions of its kind that are opened one after another."""
    global _registered  # noqa: PLW0603  ONNX Runtime has one allocator for the sessions that are opened next
    if _registered != most:
        place = onnxruntime.OrtMemoryInfo(
            'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
        )
        # -1: ONNX Runtime's own defaults.
        onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(most, -1, -1, -1))
        _registered = most
    options.add_session_config_entry('session.use_env_allocators', '1')


def _providers(onnxruntime: ModuleType, requested: Device | None) -> list:
    """Return the providers to ask for, the first being that of the device."""
    offered = onnxruntime.get_available_providers()
    if requested is None:
        return [provider for provider in (PROVIDERS['cuda'], _CPU) if provider in offered]
    provider = PROVIDERS.get(requested.type)
    if provider not in offered:
        names = ' or '.join(_DEVICES[name] for name in offered if name in _DEVICES)
        hint = ' A GPU (cuda) needs onnxruntime-gpu in place of onnxruntime.' if requested.type != 'cpu' else ''
        raise ValueError(f'ONNX Runtime has no provider for device {requested} here: choose {names}.{hint}')
    if provider == _CPU:
        if requested.index:
            raise ValueError(f'There is no device {requested}: the CPU has no number.')
        return [_CPU]
    return [(provider, {'device_id': requested.index or 0}), _CPU]


def _device_in_use(providers: list[str], requested: Device | None) -> Device:
    """Return where a session computes: a provider that fails to start is replaced in silence.

    Raises:
        ValueError: that is not the device that was asked for.
    """
    first = check_choice(providers[0], _DEVICES, 'provider')
    used = Device(_DEVICES[first])
    if requested is None:
        return used if used.type == 'cpu' else Device(used.type, 0)
    if used.type != requested.type:
        raise ValueError(
            f'ONNX Runtime could not start on {requested} and would compute on {used}: its GPU build does not fit the '
            'CUDA libraries of this machine, or the driver sees no such GPU. Compare `nvidia-smi` with the table at '
            "onnxruntime.ai, or say device='cpu'."
        )
    return requested
