"""What CONTRIBUTING.md says of adding something holds: one file, one line. It is done with a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

GLOW = '''
"""A distortion: every value is lifted."""
import numpy as np

STRENGTHS = {'glow': tuple({'amount': 10 * level} for level in (1, 2, 3, 4, 5))}


def glow(image, rng, amount):
    """Add ``amount`` grey levels."""
    return np.clip(image.astype(int) + amount, 0, 255).astype(np.uint8)
'''
USE_GLOW = """
import numpy as np
from miqa.distortions import apply_distortion
from miqa.taxonomy import EXTRA_DISTORTIONS
print('glow' in EXTRA_DISTORTIONS, apply_distortion(np.full((40, 40, 3), 100, np.uint8), 'glow', 3).max())
"""
POINTS = '''
"""A format: a text file of `picture class x y width height`."""
from .coco_writing import Picture
from .format import OBJECTS, AnnotationFormat


def read_lines(request):
    raise NotImplementedError


FORMAT = AnnotationFormat('lines', 'a text file of lines', ('det',), OBJECTS, read_lines, file_suffixes=('.lines',))
'''
USE_POINTS = """
from pathlib import Path
from miqa.annotations.formats import format_of
Path('a.lines').write_text('x')
print(format_of('a.lines', '.', 'det').name)
"""


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('copy')
    shutil.copytree(ROOT / 'miqa', folder / 'miqa', ignore=shutil.ignore_patterns('__pycache__', '*.onnx'))
    return folder


def run(folder: Path, code: str) -> str:
    environment = {**os.environ, 'PYTHONPATH': str(folder)}
    return subprocess.check_output([sys.executable, '-c', code], cwd=folder, env=environment, text=True).strip()


def add_line(path: Path, before: str, line: str) -> None:
    text = path.read_text(encoding='utf-8')
    assert text.count(before) == 1, f'{path} has not one place for the line'
    path.write_text(text.replace(before, f'{line}{before}'), encoding='utf-8')


SUMS = '''
"""A format: the sum of a module's numbers as text."""
from .format import ExportFormat


def write_sums(module, pixels, path, spec):
    """Write the sums."""
    path.write_text('1')
    return lambda batch: module(__import__('torch').from_numpy(batch)).detach().numpy()


FORMAT = ExportFormat('nothing', write_sums)
'''
USE_SUMS = """
from miqa.apis.exports.formats import export_format, is_scorable
from miqa.apis.zoo.loading import name_and_weights
from pathlib import Path
print(export_format('.SUMS').title, is_scorable(Path('a.sums')), name_and_weights('nowhere.sums')[1])
"""


@pytest.mark.parametrize(('file', 'text', 'lines', 'use', 'said'), [
    ('distortions/glow.py', GLOW, [('taxonomy.py', "        'frost': 'frost',", "        'glow': 'glow',")],
     USE_GLOW, 'True 130'),
    ('annotations/formats/lines.py', POINTS, [
        ('annotations/formats/detect.py', '        cvat.FORMAT,', '        lines.FORMAT,'),
        ('annotations/formats/detect.py', 'from .format import AnnotationFormat', 'from . import lines'),
    ], USE_POINTS, 'lines'),
    ('apis/exports/sums_file.py', SUMS, [
        ('apis/exports/formats.py', "    '.onnx': 'onnx_file',", "    '.sums': 'sums_file',"),
    ], USE_SUMS, 'nothing False nowhere.sums'),
], ids=['distortion', 'format of annotations', 'format of exported models'])  # fmt: skip
def test_an_extension_is_one_file_and_one_line(copy, file, text, lines, use, said):
    (copy / 'miqa' / file).write_text(text, encoding='utf-8')
    for table, before, line in lines:
        add_line(copy / 'miqa' / table, f'{before}\n', f'{line}\n')
    assert run(copy, use) == said
