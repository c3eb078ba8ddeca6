"""COCO's own file: read and checked once, and stored unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field

from miqa.annotations.coco import parse_coco
from miqa.annotations.objects import AnnotationError, Annotations
from miqa.outside.regular_files import read_regular

from .format import COCO, AnnotationFormat, Remarks, Request


@dataclass
class CocoFile:
    """What the reader returns: the file's bytes, what they mean, the entries of the pictures, and remarks."""

    data: bytes
    annotations: Annotations
    keys: list[int | str]  # of the pictures in the annotations
    remarks: Remarks = field(default_factory=Remarks)


def read_coco_file(request: Request) -> CocoFile:
    """Read a COCO instance file, with the checks of :func:`miqa.annotations.coco.parse_coco`."""
    data = read_regular(request.path, kind='file of COCO annotations')
    annotations = parse_coco(data, request.path)
    remarks = Remarks()
    for sentence, count in annotations.remarks.items():
        remarks.add(sentence, count=count)
    keys = [annotations.find(str(picture.path), picture.name) for picture in request.pictures]
    for picture, key in zip(request.pictures, keys, strict=True):
        for instance in () if annotations.images[key].size or picture.orientation != 1 else annotations.objects[key]:
            left, top, width, height = instance.box
            if left >= picture.size[0] or top >= picture.size[1] or left + width <= 0 or top + height <= 0:
                raise AnnotationError(
                    f'{request.path}: the box {list(instance.box)} lies outside {picture.name} of '
                    f'{picture.size[0]}x{picture.size[1]} pixels. Are the annotations those of this picture?'
                )
    used = set(keys)
    unused = [image.file_name for key, image in annotations.images.items() if key not in used]
    remarks.add('{} annotated image{s} {are} not among the pictures', unused[0] if unused else '', len(unused))
    return CocoFile(data, annotations, keys, remarks)


FORMAT = AnnotationFormat(
    'coco', 'a COCO JSON file', ('det', 'ins'), COCO, read_coco_file, file_suffixes=('.json',)
)  # fmt: skip
