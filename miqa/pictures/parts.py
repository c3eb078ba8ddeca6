"""A view of a file with some parts omitted or replaced."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO

#: A piece of the new file: bytes, or (start, end) in the old one.
Part = bytes | tuple[int, int]


def joined(parts: Iterable[Part]) -> list[Part]:
    """Join neighbouring pieces, so that few are left."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if isinstance(part, tuple) and isinstance(last, tuple) and last[1] == part[0]:
            result[-1] = (last[0], part[1])
        elif part and (isinstance(part, bytes) or part[1] > part[0]):
            result.append(part)
    return result


def open_parts(stream: BinaryIO, parts: Iterable[Part]) -> io.BufferedReader:
    """Return a stream over the pieces; ``stream`` must stay open, and is not copied."""
    return io.BufferedReader(_Parts(stream, joined(parts)), 1 << 16)


class _Parts(io.RawIOBase):
    def __init__(self, stream: BinaryIO, parts: list[Part]):
        self._stream, self._parts = stream, parts
        lengths = [len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts]
        self._starts = [sum(lengths[:index]) for index in range(len(lengths))]
        self._size = sum(lengths)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f'A position before the beginning of the file: {base + offset}.')
        self._at = base + offset
        return self._at

    def readall(self) -> bytes:
        """Read to the end; Python's own way joins pieces at last, and holds everything twice."""
        whole = io.BytesIO()
        while data := self.read(1 << 20):
            whole.write(data)
        return whole.getvalue()

    def readinto(self, buffer) -> int:
        if self._at >= self._size:
            return 0
        index = max(index for index, start in enumerate(self._starts) if start <= self._at)
        part, inside = self._parts[index], self._at - self._starts[index]
        if isinstance(part, bytes):
            data = part[inside : inside + len(buffer)]
        else:
            self._stream.seek(part[0] + inside)
            data = self._stream.read(min(len(buffer), part[1] - part[0] - inside))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
