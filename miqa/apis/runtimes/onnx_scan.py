"""What an ONNX file of a quality model may hold, looked at before ONNX Runtime opens it.

A graph of plain operators computes for as long as its tensors are large, and these are bounded elsewhere
(:func:`miqa.networks.onnx_session.open_onnx`). Loops and functions could take any time, and numbers that lie in other
files would be read from wherever the file says. `miqa export` writes none of them.

The layout of the messages is that of ``onnx.proto`` (ONNX 1.16), that of their bytes the one of Protocol Buffers
(protobuf.dev/programming-guides/encoding). Numbers of tensors are stepped over.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from miqa.errors import CheckpointError
from miqa.outside.regular_files import WEIGHTS_BYTES, open_regular

#: Fields of a file that are looked at; an export of 500 layers has about 50,000.
_MOST_FIELDS = 2_000_000
# Numbers of fields: of a model, graph, node, attribute and tensor.
_GRAPH, _FUNCTION = 7, 25
_NODE, _TENSOR, _SPARSE = 1, 5, 15
_ATTRIBUTE = 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_EXTERNAL, _LOCATION = 13, 14
# Kinds of values.
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Refused(ValueError):
    """The file holds what no export of this project does; the message is the reason."""


def check_onnx(path: str | os.PathLike) -> None:
    """Look through an ONNX file for what a quality model does not need.

    Raises:
        FileNotFoundError, NotARegularFile: there is no such file, or it is something else.
        CheckpointError: it holds loops, branches, functions or references to other files, or is no ONNX file.
    """
    with open_regular(path, WEIGHTS_BYTES, what='ONNX file') as stream:
        if not os.fstat(stream.fileno()).st_size:
            raise CheckpointError(f'{path} is not a whole ONNX file: it is empty. Export the model again.')
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _check_model(_Reader(data), len(data))
            except _Refused as error:
                raise CheckpointError(
                    f'{path} is not run: it holds {error}, which no quality model that `miqa export` writes does.'
                ) from None
            except ValueError as error:
                raise CheckpointError(f'{path} is not a whole ONNX file: {error}. Export the model again.') from None


class _Reader:
    """Steps through the fields of messages."""

    def __init__(self, data: mmap.mmap):
        self._data, self._seen = data, 0

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield number, kind, and start and end of the value of each field between two positions."""
        at = start
        while at < end:
            self._seen += 1
            if self._seen > _MOST_FIELDS:
                raise _Refused(f'more than {_MOST_FIELDS:,} parts')
            tag, at = self.number(at, end)
            kind = tag & 7
            if kind == _VARINT:
                _, stop = self.number(at, end)
            elif kind == _BYTES:
                length, at = self.number(at, end)
                stop = at + length
            elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
                stop = at + (8 if kind == _EIGHT_BYTES else 4)
            else:
                raise ValueError(f'byte {at} is of no known kind')
            if stop > end:
                raise ValueError(f'it is cut: byte {stop} is missing')
            yield tag >> 3, kind, at, stop
            at = stop

    def number(self, at: int, end: int) -> tuple[int, int]:
        """Return a number of variable length, and the position after it."""
        value = 0
        for place in range(10):
            if at >= end:
                break
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                return value, at
        raise ValueError(f'it is cut or damaged at byte {at}')


def _check_model(reader: _Reader, size: int) -> None:
    graphs = 0
    for number, kind, start, end in reader.fields(0, size):
        if number == _FUNCTION:
            raise _Refused('functions of its own')
        if number == _GRAPH and kind == _BYTES:
            graphs += 1
            _check_graph(reader, start, end)
    if not graphs:
        raise ValueError('it holds no network')


def _check_graph(reader: _Reader, start: int, end: int) -> None:
    for number, kind, begin, stop in reader.fields(start, end):
        if number == _SPARSE:
            raise _Refused('sparse numbers')
        if kind == _BYTES and number == _TENSOR:
            _check_tensor(reader, begin, stop)
        if kind == _BYTES and number == _NODE:
            for inner, inner_kind, inner_begin, inner_stop in reader.fields(begin, stop):
                if inner == _ATTRIBUTE and inner_kind == _BYTES:
                    _check_attribute(reader, inner_begin, inner_stop)


def _check_attribute(reader: _Reader, start: int, end: int) -> None:
    for number, kind, begin, stop in reader.fields(start, end):
        if number in _ATTRIBUTE_GRAPHS:
            raise _Refused('loops or branches')
        if number in _ATTRIBUTE_SPARSE:
            raise _Refused('sparse numbers')
        if number in _ATTRIBUTE_TENSORS and kind == _BYTES:
            _check_tensor(reader, begin, stop)


def _check_tensor(reader: _Reader, start: int, end: int) -> None:
    for number, kind, begin, stop in reader.fields(start, end):
        if number == _EXTERNAL or (number == _LOCATION and kind == _VARINT and reader.number(begin, stop)[0]):
            raise _Refused('references to numbers in other files')
