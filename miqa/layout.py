"""The layout of a database: all folders, file names and columns.

::

    {data root}/
      splits/miqa_{cls,det}_{train,val}.csv   which sources are for training (ins uses det's)
      miqa_cls/  miqa_det/  (miqa_seg/)       the tasks that own pictures: *image tasks*
        src_images/{source}.JPEG              clean sources
        images/{source}/{version}.png         their distorted versions: the *image root*
        masks/{source}_binary_mask.png        foregrounds
        quality/{source}.csv                  PSNR, SSIM, ... of every version
        manifests/build.json, {source}.json   settings of the build, and a record of each finished source
        baselines/{measure}-.../              values of measures of human vision
        ground_truth.csv (.json for det)      classes, or objects in COCO's format
      miqa_cls/  miqa_det/  miqa_ins/         every task
        labels/                               label files and manifest.json
        responses/{machine}/                  raw answers of each machine, manifest.json
        scores/{machine}/                     each machine's scores, manifest.json
      .miqa_index/{task}_{split}.arrow        indexes

    {packed folder}/packed.json, images.arrow, shard_00000.arrow, ...

The first four folders, ``labels`` and the split files are those of MIQD-2.5M as its authors publish it. Nothing here
touches a disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from .taxonomy import DATABASE_TASKS, IMAGE_TASKS, TASK_FOLDERS, split_name

# ---- Folders -------------------------------------------------------------------------------------------------------

MANIFEST = 'manifest.json'  # Beside what was computed (labels, responses, scores, baselines): what made it

#: File name endings that count as pictures in a folder of sources or in a split file, in lower case.
PICTURE_SUFFIXES = ('.jpeg', '.jpg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm')

JPEG_SUFFIX = {'cls': '.JPEG', 'det': '.jpg', 'seg': '.jpg'}  # MIQD's ending of clean JPEG sources, by image task


def task_folder(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder of a task's labels, responses and scores, such as ``data_root/miqa_ins``."""
    return Path(data_root) / TASK_FOLDERS[task]


def image_task_folder(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder of the task that owns a task's pictures: its own, or det's for ins."""
    return task_folder(data_root, IMAGE_TASKS[task])


def image_root(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder of a task's distorted images, one folder in it for each source."""
    return images_in(image_task_folder(data_root, task))


def source_root(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder of a task's clean source images."""
    return sources_in(image_task_folder(data_root, task))


def label_folder(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder of a task's label files."""
    return task_folder(data_root, task) / 'labels'


def responses_folder(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder that holds one folder of responses for each machine."""
    return task_folder(data_root, task) / 'responses'


def scores_folder(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder that holds one folder of scores for each machine."""
    return task_folder(data_root, task) / 'scores'


def baselines_folder(data_root: str | os.PathLike, task: str) -> Path:
    """Return the folder that holds one folder for each measure of human vision."""
    return image_task_folder(data_root, task) / 'baselines'


def index_folder(data_root: str | os.PathLike) -> Path:
    """Return the folder of a database's indexes."""
    return Path(data_root) / '.miqa_index'


def index_name(task: str, split: str) -> str:
    """Return the file name of an index."""
    return f'{task}_{split}.arrow'


# ---- What a build writes below the folder of an image task -----------------------------------------------------------


def images_in(folder: str | os.PathLike) -> Path:
    """Return the folder of distorted images below the folder of an image task."""
    return Path(folder) / 'images'


def sources_in(folder: str | os.PathLike) -> Path:
    """Return the folder of clean sources below the folder of an image task."""
    return Path(folder) / 'src_images'


def records_in(folder: str | os.PathLike) -> Path:
    """Return the folder of records below the folder of an image task."""
    return Path(folder) / 'manifests'


def build_settings_path(folder: str | os.PathLike) -> Path:
    """Return the file of a build's settings, below the folder of an image task."""
    return records_in(folder) / 'build.json'


def record_path(folder: str | os.PathLike, source: str) -> Path:
    """Return the record of a finished source, below the folder of an image task."""
    return records_in(folder) / f'{source}.json'


def mask_path(folder: str | os.PathLike, source: str) -> Path:
    """Return the foreground mask of a source, below the folder of an image task."""
    return Path(folder) / 'masks' / mask_name(source)


def mask_name(source: str) -> str:
    """Return the file name of a source's mask."""
    return f'{source}_binary_mask.png'


def quality_path(folder: str | os.PathLike, source: str) -> Path:
    """Return the quality table of a source's versions, below the folder of an image task."""
    return Path(folder) / 'quality' / f'{source}.csv'


def quality_columns(measures: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a quality table: the version's file name, then the measures."""
    return ('filename', *measures)


# ---- Ground truth ----------------------------------------------------------------------------------------------------

#: seg: a folder with one map of class indices for each clean image (see :mod:`miqa.labelling.class_maps`).
GROUND_TRUTH = {
    'cls': 'ground_truth.csv',
    'det': 'ground_truth.json',
    'ins': 'ground_truth.json',
    'seg': 'ground_truth',
}

#: Columns of cls' ground truth: the clean image, its class from 0, and (optional) the class' name.
CLASS_FILE, CLASS_INDEX, CLASS_NAME = 'filename', 'class_index', 'class_name'


def ground_truth_path(data_root: str | os.PathLike, task: str) -> Path:
    """Return the place of ground truth beside the images, such as ``miqa_cls/ground_truth.csv``."""
    return image_task_folder(data_root, task) / GROUND_TRUTH[task]


# ---- Splits ----------------------------------------------------------------------------------------------------------

#: Column of a split file that names the sources, by image task: by file name, or by COCO's number.
SPLIT_COLUMNS = {'cls': 'Image Name', 'det': 'Image Index', 'seg': 'Image Name'}

CATEGORY_COLUMN = 'Category'  # Column of cls' split files that names the sources' category


def split_path(data_root: str | os.PathLike, task: str, split: str) -> Path:
    """Return the split file of a task; ``split`` is ``train`` or ``val`` (``test`` means the same)."""
    return Path(data_root) / 'splits' / f'{TASK_FOLDERS[IMAGE_TASKS[task]]}_{split_name(split)}.csv'


def coco_source(number: int | str) -> str:
    """Return the source name of a COCO image number: filled with zeros to 12 digits.

    Raises:
        ValueError: it is not a number of at most 12 digits.
    """
    text = str(number).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise ValueError(f'{number!r} is no COCO image number, such as 139')
    return text.zfill(12)


def source_of_entry(entry: str | None, task: str, place: str) -> str:
    """Return the source that an entry of a split file names: a file name (cls) or a COCO number (det, ins).

    Raises:
        ValueError: the entry is neither; the message says what is wrong at ``place``, such as ``row 2 of a.csv``.
    """
    text = (entry or '').strip()
    column = SPLIT_COLUMNS[IMAGE_TASKS[task]]
    if IMAGE_TASKS[task] == 'det':
        try:
            return coco_source(text)
        except ValueError:
            raise ValueError(f'{column!r} in {place} is {text!r}; expected a COCO image number such as 139.') from None
    if not text or '/' in text or '\\' in text or '\0' in text or text in ('.', '..'):
        raise ValueError(
            f'{column!r} in {place} is {text!r}; expected a file name such as ILSVRC2012_val_00000001.JPEG.'
        )
    name = PurePath(text)
    return name.stem if name.suffix.lower() in PICTURE_SUFFIXES else text


# ---- Label files -----------------------------------------------------------------------------------------------------

#: Labels that label files hold, in the order of the files of det and ins; composite is computed from them.
FILED_LABELS = ('accuracy', 'consistency')

#: Column of a label file that names the version: ``{source}/{version}.png`` or ``{version}.png``.
NAME_COLUMN = {'cls': 'dist_images', 'det': 'filename', 'ins': 'filename', 'seg': 'filename'}


class LabelColumns(NamedTuple):
    """Columns of a label file for one score: its weighted mean over the machines (the label), mean and std."""

    weighted: str
    mean: str
    std: str


def label_columns(task: str, label: str, at_75: bool = False) -> LabelColumns:
    """Return the columns for consistency or accuracy; ``at_75`` (det, ins): for the score at IoU 0.75 alone."""
    if task == 'cls':
        return LabelColumns(f'weighted_{label}', f'mean_{label}', f'std_{label}')
    prefix = 'mIoU' if task == 'seg' else 'AP75' if at_75 else 'AP'
    return LabelColumns(f'{prefix}_weighted_avg', f'{prefix}_mean', f'{prefix}_std')


def label_file_columns(task: str, label: str) -> tuple[str, ...]:
    """Return all columns of the label file that holds ``label``, in MIQD's order."""
    name = NAME_COLUMN[task]
    if task == 'seg':
        return (name, *label_columns(task, label))
    if task != 'cls':
        return (name, *label_columns(task, label), *label_columns(task, label, at_75=True))
    consistency, accuracy = label_columns(task, 'consistency'), label_columns(task, 'accuracy')
    return (name, consistency.weighted, accuracy.weighted, *consistency[1:], *accuracy[1:])


def label_paths(folder: str | os.PathLike, task: str, source: str) -> dict[str, str]:
    """Return the label files of a source: ``{'both': path}`` for cls, one for each label for det and ins."""
    # Strings: thousands of Path objects take longer to make than the files to read.
    return {label: f'{folder}/{source}{ending}' for label, ending in label_endings(task).items()}


def label_endings(task: str) -> dict[str, str]:
    """Return what follows the source in the names of its label files, by label; ``{'both': ...}`` for cls."""
    return {'both': '_mmos.csv'} if task == 'cls' else {label: f'_{label}.csv' for label in FILED_LABELS}


# ---- Responses and scores of machines --------------------------------------------------------------------------------


def machines_in(manifest: Mapping) -> dict:
    """Return name -> weight and fingerprint of the machines that a label manifest names, if any."""
    return dict(manifest.get('machines') or {})


#: Names of the score columns of one machine, by task; what they mean is in :mod:`miqa.labelling.scores`.
SCORE_COLUMNS = {
    task: ('consistency', 'accuracy') + (('consistency_75', 'accuracy_75') if task in ('det', 'ins') else ())
    for task in DATABASE_TASKS
}


def part_name(number: int, prefix: str = '') -> str:
    """Return the file name of a part of responses, scores or baselines."""
    return f'{prefix}-{number:05d}.parquet' if prefix else f'{number:05d}.parquet'


def shard_prefix(shard: tuple[int, int]) -> str:
    """Return how the parts of shard (i, n), i from 1, begin."""
    return f'{shard[0]:04d}-of-{shard[1]:04d}'


# ---- Index and packed pictures ---------------------------------------------------------------------------------------

#: Columns of an index that say which image a sample is; its others are the labels.
IMAGE_COLUMNS = ('source', 'distortion', 'fg_level', 'bg_level', 'suffix')

#: Files of a packed folder: its manifest, its settings until that is written, and which images are in it (the columns
#: :data:`IMAGE_COLUMNS`).
PACKED_MANIFEST, PACKED_PLAN, PACKED_IMAGES = 'packed.json', 'packing.json', 'images.arrow'


def packed_shard_path(folder: str | os.PathLike, number: int) -> Path:
    """Return the file of a shard of packed pictures."""
    return Path(folder) / f'shard_{number:05d}.arrow'
