"""A restricted reader of ``torch.save`` files: only listed instructions and names, in one pass.

PyTorch's ``weights_only=True`` runs no code of a file, but its parsers follow whatever a file declares: text codecs,
compressed records, tensors that grow, names that differ in case. Here instructions are those of a dict of tensors and
of what training scripts leave beside it; each value is bounded before it is made; nothing of a name is imported.
"""

from __future__ import annotations

import argparse
import collections
import io
import os
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, cast

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

#: Bytes of the description of a file's tensors (a real one has less than one million), and of a zip file's index.
_LARGEST_PICKLE, _LARGEST_INDEX = 1 << 28, 1 << 24
#: Instructions of that description, and those among them that make an object (a tensor takes three).
_MOST_STEPS, _MOST_OBJECTS = 2_000_000, 100_000
#: Values of the result, each counted wherever it occurs, and how deep they are nested.
_MOST_VALUES, _DEEPEST = 300_000, 50
_LARGEST_REPETITION = 1_000_000  # Tensors that repeat their numbers (strides of zero) may be this large, in numbers
#: A file of ``torch.save`` before PyTorch 1.6 begins with this number, followed by the format's version.
_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001

_STORAGES = {
    f'torch.{name}Storage': dtype
    for name, dtype in {
        'Float': torch.float32, 'Double': torch.float64, 'Half': torch.float16, 'BFloat16': torch.bfloat16,
        'Long': torch.int64, 'Int': torch.int32, 'Short': torch.int16, 'Char': torch.int8, 'Byte': torch.uint8,
        'Bool': torch.bool, 'ComplexFloat': torch.complex64, 'ComplexDouble': torch.complex128,
    }.items()
}  # fmt: skip
#: Types that are only named, as the type of a tensor or of a dict's values.
_NAMED = {'torch.Tensor', 'numpy.ndarray', *(f'{m}.{n}' for m in ('__builtin__', 'builtins') for n in ('dict', 'list'))}
_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
_OPTIMISERS = re.compile(r'torch\.optim\.[\w.]+')
_TOO_MUCH = 'it describes more objects than any checkpoint has'
_MARK = object()  # Marks where a sequence begins on the stack


class UnsafeFile(ValueError):
    """A file holds what no checkpoint needs; the message is the reason, without the file's name."""


class DroppedObject:
    """Stands for an optimiser or schedule object that an old training script stored; its content is dropped."""


@dataclass(frozen=True)
class _Name:
    """A name in the file; it stands for itself and is never looked up."""

    text: str


@dataclass(eq=False)
class _PendingObject:
    """An object whose state comes in a later instruction; then it is replaced, also where the memo holds it."""

    kind: str
    about: Any = None
    keys: list[int] = field(default_factory=list)


def read_torch_stream(stream: IO[bytes]) -> object:
    """Return what an open file of ``torch.save`` holds, old or new format, its tensors on the CPU.

    Raises:
        UnsafeFile: it is compressed, describes too much, or names something that no checkpoint needs.
        OSError, ValueError, zipfile.BadZipFile: it is cut or damaged.
    """
    stream.seek(0)
    size = os.fstat(stream.fileno()).st_size
    if stream.read(4) == b'PK\x03\x04':
        return _read_archive(stream, size)
    stream.seek(0)
    return _read_legacy(stream, size)


def _read_archive(stream: IO[bytes], size: int) -> object:
    # What ZipFile itself reads of the end of a file, before it makes an object of each entry.
    end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if end and (end[5] > _LARGEST_INDEX or end[4] > _MOST_OBJECTS):
        raise UnsafeFile(f'its list of records has {end[5]:,} bytes')
    with zipfile.ZipFile(stream) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        packed = [name for name, entry in entries.items() if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise UnsafeFile(f'its entry {packed[0][:80]!r} is compressed, which torch.save never does')
        if len(entries) < len(archive.infolist()):
            raise UnsafeFile('two of its entries have one name')
        if sum(entry.file_size for entry in entries.values()) > size:
            raise UnsafeFile('its entries are together larger than the file')
        descriptions = [name for name in entries if name.rpartition('/')[2] == 'data.pkl']
        if len(descriptions) != 1:
            raise UnsafeFile(f'it has {len(descriptions)} descriptions of tensors (data.pkl)')
        root, read = descriptions[0].removesuffix('data.pkl'), set()

        def record(name: str, most: int) -> bytes:
            if entries[name].file_size > most:
                raise UnsafeFile(f'its entry {name[:80]!r} has {entries[name].file_size:,} bytes')
            return archive.read(name)

        if f'{root}byteorder' in entries and record(f'{root}byteorder', 16) != b'little':
            raise UnsafeFile('its numbers are stored with the highest byte first')

        def storage(key: str, nbytes: int) -> np.ndarray:
            name = f'{root}data/{key}'
            if name not in entries:
                raise ValueError(f'its record {name[:80]!r} is missing')
            if nbytes > entries[name].file_size:
                raise UnsafeFile(f'its record {name[:80]!r} is declared to be larger than it is')
            read.add(name)
            content = np.empty(entries[name].file_size, np.uint8)
            with archive.open(name) as source:
                # Reading on to the end compares the checksum, too.
                if source.readinto(content.data) < len(content) or source.read(1):  # type: ignore[attr-defined]
                    raise ValueError(f'its record {name[:80]!r} is cut')
            return content

        loaded = _Unpickler(io.BytesIO(record(descriptions[0], _LARGEST_PICKLE)), storage).load()
        for name in entries.keys() - read:
            # A file with a damaged record is damaged, also where no tensor uses it; the end compares the checksum.
            with archive.open(name) as source:
                while source.read(1 << 20):
                    pass
    return loaded


def _read_legacy(stream: IO[bytes], size: int) -> object:
    storages: dict[str, np.ndarray] = {}
    remaining = size

    def storage(key: str, nbytes: int) -> np.ndarray:
        nonlocal remaining
        remaining -= nbytes
        if remaining < 0:
            raise UnsafeFile('its tensors are declared to be larger than the file')
        storages[key] = np.zeros(nbytes, np.uint8)
        return storages[key]

    def no_storage(key: str, nbytes: int) -> np.ndarray:
        raise UnsafeFile('it has tensors before their description')

    if _Unpickler(stream, no_storage).load() != _LEGACY_MAGIC:
        raise ValueError('it does not begin as one')
    if _Unpickler(stream, no_storage).load() != _LEGACY_VERSION:
        raise ValueError('it is of another version')
    system = _Unpickler(stream, no_storage).load()
    if not isinstance(system, dict) or system.get('little_endian') is not True:
        raise UnsafeFile('its numbers are stored with the highest byte first')
    unpickler = _Unpickler(stream, storage)
    loaded = unpickler.load()
    keys = _Unpickler(stream, no_storage).load()
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages) or len(keys) != len(storages):
        raise ValueError('its list of tensors is another one than its description')
    for key in keys:
        (count,) = struct.unpack('<q', _exactly(stream, 8))
        content = storages[key]
        if count * unpickler.item_sizes[key] != len(content):
            raise ValueError(f'the tensor {key[:80]!r} has another length than its description')
        if stream.readinto(content.data) != len(content):  # type: ignore[attr-defined]
            raise ValueError('it is cut')
    return loaded


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError('it is cut')
    return data


class _Window:
    """Gives a parser no more of a stream than it may have."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self._left = stream, _LARGEST_PICKLE

    def read(self, count: int) -> bytes:
        """Return so many bytes, or what is left of the file."""
        self._left -= count
        if self._left < 0:
            raise UnsafeFile(f'its description of tensors has more than {_LARGEST_PICKLE:,} bytes')
        data = self._stream.read(min(count, 1 << 20))
        while len(data) < count and (block := self._stream.read(min(count - len(data), 1 << 20))):
            data += block
        return data

    def readline(self) -> bytes:
        """Return a short line."""
        line = self._stream.readline(1000)
        self._left -= len(line)
        return line


class _Unpickler:
    """Follows the instructions that ``torch.save`` writes (pickle's protocol 2).

    Args:
        stream: stands at the first instruction; afterwards behind the last one.
        storage: gives the bytes of a storage by its key, of at least so many.

    Attributes:
        item_sizes: bytes of one number of each storage.
    """

    def __init__(self, stream: IO[bytes], storage: Callable[[str, int], np.ndarray]):
        self._stream, self._storage = stream, storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._bytes: dict[str, np.ndarray] = {}
        self._objects = 0
        self.item_sizes: dict[str, int] = {}

    def load(self) -> Any:
        """Return what the instructions make."""
        window = cast(IO[bytes], _Window(self._stream))
        for step, (instruction, argument, _) in enumerate(pickletools.genops(window)):
            if step > _MOST_STEPS or self._objects > _MOST_OBJECTS:
                raise UnsafeFile(_TOO_MUCH)
            name = instruction.name
            if name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name]())
            elif name in _ARGUMENTS:
                self._stack.append(argument)
            elif name == 'STOP':
                break
            elif name != 'PROTO':
                action = getattr(self, f'_do_{name.lower()}', None)
                if action is None:
                    raise UnsafeFile(f'it holds the instruction {name}, which torch.save does not write')
                action(argument)
        if len(self._stack) != 1:
            raise ValueError('its description of tensors does not end in one object')
        _check_tree(self._stack[0])
        return self._stack[0]

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError('its description of tensors is damaged')
        return self._stack.pop()

    def _pop_to_mark(self) -> list:
        items: list = []
        while self._stack:
            item = self._stack.pop()
            if item is _MARK:
                return items[::-1]
            items.append(item)
        raise ValueError('its description of tensors is damaged')

    def _top(self, kind: type | tuple[type, ...]) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise ValueError('its description of tensors is damaged')
        return self._stack[-1]

    def _do_mark(self, _: None) -> None:
        self._stack.append(_MARK)

    def _do_binput(self, key: int) -> None:
        value = self._top(object)
        if isinstance(value, _PendingObject):
            value.keys.append(key)
        self._memo[key] = value

    _do_long_binput = _do_binput

    def _do_binget(self, key: int) -> None:
        if key not in self._memo:
            raise ValueError('its description of tensors is damaged')
        self._stack.append(self._memo[key])

    _do_long_binget = _do_binget

    def _do_tuple(self, _: None) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _do_tuple1(self, _: None) -> None:
        self._stack.append((self._pop(),))

    def _do_tuple2(self, _: None) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append((first, second))

    def _do_tuple3(self, _: None) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append((first, second, third))

    def _do_list(self, _: None) -> None:
        self._stack.append(self._pop_to_mark())

    def _do_append(self, _: None) -> None:
        item = self._pop()
        self._top(list).append(item)

    def _do_appends(self, _: None) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _do_setitem(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[_key(key)] = value

    def _do_setitems(self, _: None) -> None:
        items = self._pop_to_mark()
        if len(items) % 2:
            raise ValueError('its description of tensors is damaged')
        self._top(dict).update(_pairs(items))

    def _do_global(self, argument: str) -> None:
        self._objects += 1
        text = argument.replace(' ', '.', 1)
        dtype = getattr(torch, text.removeprefix('torch.'), None) if re.fullmatch(r'torch\.\w+', text) else None
        if isinstance(dtype, torch.dtype):
            self._stack.append(dtype)
        elif text in _STORAGES or text in _NAMED or text in _CALLS or _OPTIMISERS.fullmatch(text):
            self._stack.append(_Name(text))
        else:
            raise UnsafeFile(f'it contains a {text[:80]}, which is not on the list of harmless types')

    def _do_binpersid(self, _: None) -> None:
        """Make a flat tensor of a storage."""
        about = self._pop()
        if not isinstance(about, tuple) or len(about) not in (5, 6) or about[5:] not in ((), (None,)):
            raise UnsafeFile('it holds a reference that is not to a storage of numbers')
        tag, kind, key, _, count = about[:5]
        dtype = _STORAGES.get(kind.text) if isinstance(kind, _Name) else None
        if tag != 'storage' or dtype is None or not isinstance(key, str) or not _whole(count):
            raise UnsafeFile('it holds a reference that is not to a storage of numbers')
        nbytes = count * dtype.itemsize
        if key not in self._bytes:
            self._bytes[key] = self._storage(key, nbytes)
            self.item_sizes[key] = dtype.itemsize
        if nbytes > len(self._bytes[key]):
            raise UnsafeFile('one of its storages is declared to be larger than it is')
        flat = torch.from_numpy(self._bytes[key][:nbytes])
        self._stack.append(flat.view(dtype) if nbytes else torch.empty(0, dtype=dtype, device='cpu'))

    def _do_reduce(self, _: None) -> None:
        arguments, name = self._pop(), self._pop()
        self._stack.append(self._called(name, arguments))

    _do_newobj = _do_reduce

    def _called(self, name: object, arguments: object) -> Any:
        self._objects += 1
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise UnsafeFile('it calls something that is not a name')
        if _OPTIMISERS.fullmatch(name.text):
            return DroppedObject()
        call = _CALLS.get(name.text)
        if call is None:
            raise UnsafeFile(f'it calls {name.text}')
        if call is _typed_tensor:
            maker, inner = arguments[0], arguments[2]
            if not isinstance(maker, _Name) or not maker.text.startswith('torch._utils._rebuild_'):
                raise UnsafeFile('it makes a tensor of a type of its own')
            return self._called(maker, inner)
        # Each copy of a list or a dict counts by its length, and so does a text that becomes bytes.
        self._objects += sum(len(each) for each in arguments if isinstance(each, (list, dict, tuple)))
        self._objects += sum(len(each) // 100 for each in arguments if isinstance(each, str))
        if self._objects > _MOST_OBJECTS:
            raise UnsafeFile(_TOO_MUCH)
        try:
            return call(*arguments)
        except (TypeError, IndexError, AttributeError) as error:
            raise ValueError(f'{name.text} is called with something else than it takes') from error

    def _do_build(self, _: None) -> None:
        state = self._pop()
        self._objects += 1
        target = self._top(object)
        if isinstance(target, _PendingObject):
            self._stack[-1] = finished = _finished(target, state)
            for key in target.keys:
                self._memo[key] = finished
        elif isinstance(target, argparse.Namespace) and isinstance(state, dict):
            vars(target).update({key: value for key, value in state.items() if isinstance(key, str)})
        elif not isinstance(target, (DroppedObject, dict)):  # a state dict's _metadata is not used
            raise UnsafeFile(f'it sets the state of a {type(target).__name__}')


_CONSTANTS: dict[str, Callable[[], Any]] = {
    'NONE': lambda: None, 'NEWTRUE': lambda: True, 'NEWFALSE': lambda: False, 'EMPTY_TUPLE': tuple, 'EMPTY_LIST': list,
    'EMPTY_DICT': dict,
}  # fmt: skip
_ARGUMENTS = {
    'BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE', 'SHORT_BINUNICODE', 'SHORT_BINSTRING',
    'BINSTRING',
}  # fmt: skip


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _key(key: object) -> Any:
    """Return a key of a dict: texts and short numbers, whose hashes take no time and do not collide."""
    if key is None or isinstance(key, (str, bool)) or (isinstance(key, int) and abs(key) < 1 << 48):
        return key
    raise UnsafeFile(f'it has a {type(key).__name__} as the key of a dict')


def _pairs(items: list) -> dict:
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _mapping(*arguments: Any) -> dict:
    """Make a dict: empty, a copy, of pairs (Python 2), or behind the factory of a defaultdict."""
    mapping: dict = collections.OrderedDict()
    for each in arguments:
        if isinstance(each, dict):
            mapping.update(each)
        elif isinstance(each, (list, tuple)):
            for key, value in each:
                mapping[_key(key)] = value
        elif each is not None and not isinstance(each, _Name):
            raise TypeError
    return mapping


def _tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> torch.Tensor:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, torch.Tensor) or storage.dim() != 1 or len(size) != len(stride) or len(size) > 64:
        raise TypeError
    if not all(map(_whole, numbers)):
        raise UnsafeFile('a tensor has a size or a stride that is not a whole number')
    count = 1
    for each in size:
        count *= each
    last = offset + sum((each - 1) * step for each, step in zip(size, stride, strict=True))
    if count and last >= storage.numel():
        raise UnsafeFile(f'a tensor is declared to have {count:,} numbers, more than are there')
    if count > max(storage.numel(), _LARGEST_REPETITION):
        raise UnsafeFile(f'a tensor is declared to have {count:,} numbers, more than are there')
    return storage.as_strided(size, stride, offset) if count else storage.new_empty(size)


def _parameter(data: torch.Tensor, *_: Any) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise TypeError
    return data


def _typed_tensor(*_: Any) -> None:
    """Stands for PyTorch's maker of tensors of other types, see :meth:`_Unpickler._called`."""


def _latin(text: str, coding: str) -> bytes:
    # How bytes are written in protocol 2. Other codecs can take any time and memory.
    if not isinstance(text, str) or coding not in ('latin1', 'latin-1'):
        raise UnsafeFile(f'it asks for the text codec {str(coding)[:80]!r}')
    return text.encode('latin-1')


def _dtype(code: str, *_: Any) -> _PendingObject:
    if not isinstance(code, str) or not re.fullmatch(r'[<>|=]?([?bBhHiIlLqQefd]|[biuf][1248])', code):
        raise UnsafeFile(f'it holds an array of kind {str(code)[:80]!r}')
    return _PendingObject('dtype', np.dtype(code))


def _scalar(dtype: np.dtype, data: bytes | str) -> Any:
    return _array_of(dtype, data, ())[()]


def _array_of(dtype: np.dtype, data: bytes | str, shape: tuple, fortran: bool = False) -> np.ndarray:
    if not isinstance(dtype, np.dtype) or not all(map(_whole, shape)) or len(shape) > 32:
        raise TypeError
    content = data.encode('latin-1') if isinstance(data, str) else data
    count = 1
    for each in shape:
        count *= each
    if not isinstance(content, bytes) or len(content) != count * dtype.itemsize:
        raise UnsafeFile('an array is declared to have another number of bytes than are there')
    return np.frombuffer(content, dtype).reshape(shape, order='F' if fortran else 'C').copy()


def _finished(target: _PendingObject, state: Any) -> Any:
    try:
        if target.kind == 'dtype':
            order = state[1]
            return target.about if order in ('|', '=') else target.about.newbyteorder({'<': '<', '>': '>'}[order])
        if target.kind == 'array':
            _, shape, dtype, fortran, data = state
            return _array_of(dtype, data, shape, bool(fortran))
        logs, counts, most = state['_log_history'], state['_count_history'], state.get('max_length', 1_000_000)
        if not all(isinstance(each, np.ndarray) and each.ndim == 1 for each in (logs, counts)) or not _whole(most):
            raise TypeError
        buffer = HistoryBuffer(max_length=most)
        buffer._log_history, buffer._count_history = logs, counts
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        if isinstance(error, UnsafeFile):
            raise
        raise ValueError(f'the state of its {target.kind} is damaged') from error
    return buffer


def _statistic(owner: object, name: object) -> None:
    # MMEngine's log buffers name their statistics by getattr(HistoryBuffer, 'mean'); they come with the class.
    if owner != _Name(_HISTORY) or name not in ('min', 'max', 'mean', 'current', *HistoryBuffer._statistics_methods):
        raise UnsafeFile(f'it asks for attribute {str(name)[:80]} of {str(owner)[:80]}')


def _set(items: list = ()) -> set:  # type: ignore[assignment]
    return {_key(item) for item in items}


def _device(name: str, *_: Any) -> torch.device:
    return torch.device(name) if re.fullmatch(r'\w{1,20}(:\d{1,3})?', name) else torch.device('cpu')


#: What may be called, by the name in the file. None of it is what bears that name.
_CALLS: dict[str, Callable[..., Any]] = {
    'collections.OrderedDict': _mapping,
    'collections.defaultdict': _mapping,
    'collections.Counter': _mapping,
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_parameter_with_state': _parameter,
    'torch._tensor._rebuild_from_type_v2': _typed_tensor,
    'torch.nn.parameter.Parameter': _parameter,
    'torch.Size': lambda items=(): torch.Size([each for each in items if _whole(each)]),
    'torch.device': _device,
    '_codecs.encode': _latin,
    'argparse.Namespace': argparse.Namespace,
    _HISTORY: lambda: _PendingObject('log buffer'),
    '__builtin__.getattr': _statistic,
    'builtins.getattr': _statistic,
    '__builtin__.set': _set,
    'builtins.set': _set,
    'numpy.dtype': _dtype,
    **{
        f'numpy.{core}.multiarray.{name}': call
        for core in ('core', '_core')
        for name, call in (('scalar', _scalar), ('_reconstruct', lambda *_: _PendingObject('array')))
    },
}


def _check_tree(value: Any) -> None:
    """Check that a result is a tree of bounded depth, and small even if each value is counted wherever it occurs."""
    waiting, count = [(value, 0)], 0
    while waiting:
        each, depth = waiting.pop()
        if depth > _DEEPEST or count > _MOST_VALUES:
            raise UnsafeFile(f'it holds more than {_MOST_VALUES:,} values, or more than {_DEEPEST} within one another')
        if isinstance(each, _PendingObject):
            raise ValueError(f'the state of its {each.kind} is missing')
        inner = vars(each) if isinstance(each, argparse.Namespace) else each
        children = inner.values() if isinstance(inner, Mapping) else inner if isinstance(inner, (list, tuple)) else ()
        count += len(children)
        kinds = (dict, list, tuple, argparse.Namespace, _PendingObject)
        waiting.extend((child, depth + 1) for child in children if isinstance(child, kinds))
