"""Video containers, detected by their first bytes and never by a file's name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from miqa.errors import MIQAError
from miqa.outside.regular_files import NotARegularFile, open_regular

#: File name endings that are looked for in folders.
VIDEO_SUFFIXES = (
    '.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg', '.ts', '.mts', '.m2ts', '.wmv', '.flv', '.3gp',
    '.ogv', '.gif',
)  # fmt: skip
_HEAD_BYTES = 1 << 16
# A transport stream may have been cut anywhere, so that its first whole packet comes later.
_SYNC, _PACKETS, _PACKET_SIZES = 0x47, 5, (188, 192, 204)
_PACKETS_AT_A_TIME = 1 << 16


class UnreadableVideo(MIQAError, ValueError):
    """A file that is not a video, or has no frame that can be decoded. The message names the file."""


class Container(NamedTuple):
    """A container of video."""

    #: FFmpeg's name of the only reader that may open the file. Others read lists of further files and addresses
    #: (concat, HLS, DASH), whatever a file is called.
    demuxer: str
    counts_frames: bool = False  # the file says how many frames it holds, and means each of them
    announces_end: bool = False  # the file says how long it is, apart from what can be measured in it
    jumps: bool = False  # time stamps may restart within a file, as in streams that were recorded or joined
    #: stamps may be wrong by so many frames: a stamp of MPEG-PS stands for the first picture that begins in a packet,
    #: and encoders give it to one of its neighbours.
    stamps_off: int = 0


_MOV = Container('mov', counts_frames=True)
_AVI = Container('avi', counts_frames=True)
_TS, _PS = Container('mpegts', jumps=True), Container('mpeg', jumps=True, stamps_off=3)
_FIRST_BYTES = (
    (b'\x1a\x45\xdf\xa3', Container('matroska', announces_end=True)),
    (b'\x30\x26\xb2\x75\x8e\x66\xcf\x11', Container('asf', announces_end=True)),
    (b'FLV\x01', Container('flv', announces_end=True)),
    (b'\x06\x0e\x2b\x34\x02\x05\x01\x01', Container('mxf', announces_end=True)),
    (b'OggS', Container('ogg')),
    (b'GIF87a', Container('gif')),
    (b'GIF89a', Container('gif')),
    (b'DKIF', Container('ivf')),
    (b'YUV4MPEG2 ', Container('yuv4mpegpipe')),
    (b'\x00\x00\x01\xba', _PS),
    (b'\x00\x00\x01\xb3', Container('mpegvideo')),
    (b'\x1f\x07\x00', Container('dv')),
)
_MOV_BOXES = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'pnot')
# Brands of pictures in the same boxes (HEIF, AVIF); `avis` and `hevc` are sequences of them.
_PICTURE_BRANDS = (b'heic', b'heix', b'mif1', b'avif')
_PICTURES = (b'\x89PNG', b'\xff\xd8\xff', b'BM', b'II*\0', b'MM\0*')
# First units of raw streams: parameter sets and delimiters (ITU-T H.264 table 7-1, H.265 table 7-1).
_H264_UNITS, _HEVC_UNITS = (7, 9), (32, 33, 34, 35)


def container_of(path: str | os.PathLike) -> Container:
    """Return a file's container by its first bytes.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableVideo: it is empty, no regular file, a picture, or in no container that is read here.
    """
    path = Path(path)
    try:
        with open_regular(path, None, kind='video file') as stream:
            head = stream.read(_HEAD_BYTES)
    except NotARegularFile as error:
        raise UnreadableVideo(str(error)) from None
    if not head:
        raise UnreadableVideo(f'The video file {path} is empty (0 bytes). Fetch or write it again.')
    kind = _by_first_bytes(head)
    if _is_still_picture(path, head, kind):
        raise UnreadableVideo(
            f'{path} is a single picture, not a video: score it with `miqa image`, MIQAModel or POST /score.'
        )
    if kind is None:
        raise UnreadableVideo(
            f'{path} is not a video in a container that is read here (MP4, MOV, Matroska, WebM, AVI, MPEG, ASF, FLV, '
            'Ogg, MXF, IVF, GIF, Y4M, DV, raw H.264 and H.265): it is another file, or damaged at its beginning. '
            'Lists of other files, such as HLS or concat, are not opened.'
        )
    return kind


def _is_still_picture(path: Path, head: bytes, container: Container | None) -> bool:
    if container is not None and container.demuxer in ('gif', 'apng'):
        try:
            with open_regular(path, None) as stream, Image.open(stream, formats=('GIF', 'PNG')) as picture:
                return getattr(picture, 'n_frames', 1) == 1
        except Exception:  # noqa: BLE001 - what Pillow cannot read FFmpeg may, and says so
            return False
    if head[:4] == b'RIFF' and head[8:12] == b'WEBP' or head[4:8] == b'ftyp' and head[8:12] in _PICTURE_BRANDS:
        return True
    return container is None and head.startswith(_PICTURES)


def _by_first_bytes(head: bytes) -> Container | None:
    for start, container in _FIRST_BYTES:
        if head.startswith(start):
            return container
    if head[4:8] in _MOV_BOXES:
        return None if head[4:8] == b'ftyp' and head[8:12] in _PICTURE_BRANDS else _MOV
    if head[:4] == b'RIFF' and head[8:12] == b'AVI ':
        return _AVI
    if head.startswith(b'\x89PNG\r\n\x1a\n') and b'acTL' in head:
        return Container('apng')
    return _raw_stream(head) or (_TS if _transport_layout(head) else None)


def _raw_stream(head: bytes) -> Container | None:
    start = next((mark for mark in (b'\0\0\0\1', b'\0\0\1') if head.startswith(mark)), None)
    if start is None or len(head) < len(start) + 2:
        return None
    first, second = head[len(start)], head[len(start) + 1]
    if first >> 7:
        return None
    if first & 31 in _H264_UNITS and first >> 5:
        return Container('h264')
    return Container('hevc') if first >> 1 in _HEVC_UNITS and second == 1 else None


def lost_packets(path: str | os.PathLike) -> int:
    """Return how many packets of a transport stream do not begin as packets do: they were overwritten.

    Where bytes are missing, so that all packets behind them are shifted, the shift counts as one.
    """
    with open_regular(path, None, kind='video file') as stream:
        layout = _transport_layout(stream.read(_HEAD_BYTES))
        lost = 0
        while layout is not None:
            start, size = layout
            stream.seek(start)
            block = np.frombuffer(stream.read(size * _PACKETS_AT_A_TIME), np.uint8)
            if len(block) < size:
                break
            whole = block[: len(block) // size * size].reshape(-1, size)
            wrong = whole[:, 0] != _SYNC
            # A single packet in its place shows that those before it are not shifted.
            ends = np.flatnonzero(~wrong)
            if not len(ends):
                packets = _transport_layout(block.tobytes())
                layout = (start + packets[0], packets[1]) if packets is not None else (start + len(whole) * size, size)
                lost += 1
                continue
            lost += int(wrong[: ends[-1]].sum())
            layout = (start + (int(ends[-1]) + 1) * size, size)
    return lost


def _transport_layout(head: bytes) -> tuple[int, int] | None:
    """Return where the first packet of a transport stream begins, and the size of packets."""
    for size in _PACKET_SIZES:
        for start in range(min(size, max(0, len(head) - 1))):
            if head[start] == _SYNC:
                # A file may hold fewer packets than that.
                marks = head[start : start + size * _PACKETS : size]
                if len(marks) >= 2 and set(marks) == {_SYNC}:
                    return start, size
    return None
