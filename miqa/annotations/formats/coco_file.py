"""COCO's own file: read and checked once, and stored unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from miqa.annotations.coco import parse_coco
from miqa.annotations.objects import Annotations
from miqa.outside.names import plain
from miqa.outside.regular_files import read_regular

from .format import COCO, AnnotationFormat, Remarks, Request


@dataclass
class CocoFile:
    """What the reader returns: the file's bytes, what they mean, and remarks."""

    data: bytes
    annotations: Annotations
    remarks: Remarks = field(default_factory=Remarks)


def read_coco_file(request: Request) -> CocoFile:
    """Read a COCO instance file, with the checks of :func:`miqa.annotations.coco.parse_coco`."""
    data = read_regular(request.path, kind='file of COCO annotations')
    annotations = parse_coco(data, request.path)
    remarks = Remarks()
    for sentence, count in annotations.remarks.items():
        remarks.add(sentence, count=count)
    picture_names = {_name(picture.name) for picture in request.pictures}
    unused = [image.file_name for image in annotations.images.values() if _name(image.file_name) not in picture_names]
    remarks.add('{} annotated image{s} {are} not among the pictures', unused[0] if unused else '', len(unused))
    return CocoFile(data, annotations, remarks)


def _name(path: str) -> str:
    return plain(PurePosixPath(path).name)


FORMAT = AnnotationFormat(
    'coco', 'a COCO JSON file', ('det', 'ins'), COCO, read_coco_file, file_suffixes=('.json',)
)  # fmt: skip
