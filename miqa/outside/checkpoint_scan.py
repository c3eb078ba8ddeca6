"""What a checkpoint file may hold, looked at before PyTorch opens it.

PyTorch's ``weights_only=True`` runs no code of a file, but it unpacks whatever is declared: compressed archives,
arrays of any size, constructors of its own types. Here the file is scanned without making any object of it.
"""

from __future__ import annotations

import inspect
import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from typing import IO

import torch

#: Bytes of the description of a file's tensors; a real one has less than one million.
_LARGEST_PICKLE = 1 << 28
#: Instructions of that description, and those among them that make an object (a tensor takes three).
_MOST_STEPS, _MOST_OBJECTS = 5_000_000, 100_000
#: A file of ``torch.save`` before PyTorch 1.6: magic number, protocol, machine, objects, keys.
_LEGACY_PICKLES = 5
#: Tensors that repeat their numbers (strides of zero) may be this large, in numbers.
_LARGEST_REPETITION = 1_000_000

_HARMLESS = re.compile(
    r'(collections (OrderedDict|defaultdict|Counter)'
    r'|torch\._utils _rebuild_(tensor|tensor_v2|parameter|parameter_with_state)'
    r'|torch\._tensor _rebuild_from_type_v2|torch Tensor'
    r'|torch (Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|ComplexFloat|ComplexDouble)Storage'
    r'|torch (u?int\d+|b?float\d+(_\w+)?|bool|complex\d+)'
    r'|torch (Size|device)|torch\.nn\.parameter Parameter'
    r'|_codecs encode|(__builtin__|builtins) (set|dict|list|complex|getattr)'
    r'|numpy(\._?core\.multiarray)? (scalar|_reconstruct|ndarray|dtype)'
    r'|numpy\.dtypes \w+DType|numpy dtype\[\w+\]'
    r'|argparse Namespace'
    r'|mmengine\.logging\.history_buffer HistoryBuffer'
    r'|torch\.optim\.[\w.]+ \w+)'
)


class UnsafeFile(ValueError):
    """A file holds what no checkpoint needs; the message is the reason, without the file's name."""


class Leftover:
    """Stands for an optimiser or schedule object that an old training script stored; its content is dropped."""

    def __new__(cls, *_args):
        """Make an empty one, whatever it should have been made of."""
        return super().__new__(cls)

    def __setstate__(self, _state):
        """Forget the state."""


def leftover_types() -> list[tuple[type, str]]:
    """Return (:class:`Leftover`, name) for all of PyTorch's optimisers and schedules: none is ever made."""
    bases = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    found = [item for module in (torch.optim, torch.optim.lr_scheduler) for item in vars(module).values()]
    kinds = {item for item in found if inspect.isclass(item) and issubclass(item, bases)}
    return [(Leftover, f'{kind.__module__}.{kind.__qualname__}') for kind in kinds]


def check_torch_file(stream: IO[bytes]) -> None:
    """Scan an open file of ``torch.save``, old or new format.

    Raises:
        UnsafeFile: it is compressed, describes too much, or names something that no checkpoint needs.
        OSError, ValueError, zipfile.BadZipFile: it cannot be read.
    """
    stream.seek(0)
    if stream.read(4) == b'PK\x03\x04':
        _check_archive(stream)
        return
    stream.seek(0)
    for _ in range(_LEGACY_PICKLES):
        _check_pickle(stream)


def _check_archive(stream: IO[bytes]) -> None:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise UnsafeFile(f'its entry {packed[0][:80]!r} is compressed, which torch.save never does')
        if sum(entry.file_size for entry in entries) > stream.seek(0, io.SEEK_END):
            raise UnsafeFile('its entries are together larger than the file')
        for entry in entries:
            if entry.filename.rpartition('/')[2] == 'data.pkl':
                if entry.file_size > _LARGEST_PICKLE:
                    raise UnsafeFile(f'its description of tensors has {entry.file_size:,} bytes')
                with archive.open(entry) as description:
                    _check_pickle(description)


def _check_pickle(stream: IO[bytes]) -> None:
    objects = 0
    for step, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        if instruction.name in ('GLOBAL', 'INST') and not _HARMLESS.fullmatch(str(argument)):
            raise UnsafeFile(
                f'it contains a {str(argument)[:80].replace(" ", ".")}, which is not on the list of harmless types'
            )
        objects += instruction.name in ('GLOBAL', 'REDUCE', 'NEWOBJ', 'BUILD')
        if step > _MOST_STEPS or objects > _MOST_OBJECTS:
            raise UnsafeFile('it describes more objects than any checkpoint has')


def check_tensors(state: Mapping, size: int | None) -> None:
    """Check that the tensors of a file are plain ones and no larger than the file.

    Args:
        state: names and tensors.
        size: bytes of the file; None where it is not known.

    Raises:
        UnsafeFile: they are sparse, quantised, without data, or larger than what the file holds.
    """
    storages: dict[int, int] = {}
    for name, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
            raise UnsafeFile(f'{str(name)[:80]} is not a plain tensor of numbers')
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = max(storage.nbytes(), storages.get(storage.data_ptr(), 0))
        if tensor.numel() * tensor.element_size() > storage.nbytes() and tensor.numel() > _LARGEST_REPETITION:
            raise UnsafeFile(f'{str(name)[:80]} is declared to have {tensor.numel():,} numbers, more than are there')
    if size is not None and sum(storages.values()) > size:
        raise UnsafeFile('its tensors are declared to be larger than the file')
