"""Ground truth written by other programs: read strictly and converted to the files of a database."""

from .boxes_csv import read_boxes_csv
from .classes import image_folder_classes, read_class_table
from .coco_writing import Picture, coco_content, number_pictures
from .cvat import read_cvat
from .detect import FORMATS, format_of
from .format import AnnotationFormat, ReadClasses, ReadObjects, Remarks, Request
from .labelme import read_labelme
from .voc import read_voc
from .yolo import read_yolo

__all__ = [
    'FORMATS',
    'AnnotationFormat',
    'Picture',
    'ReadClasses',
    'ReadObjects',
    'Remarks',
    'Request',
    'coco_content',
    'format_of',
    'image_folder_classes',
    'number_pictures',
    'read_boxes_csv',
    'read_class_table',
    'read_cvat',
    'read_labelme',
    'read_voc',
    'read_yolo',
]
