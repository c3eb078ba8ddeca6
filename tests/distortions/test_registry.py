"""A distortion is a file and a line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from miqa.distortions import candidates
from miqa.distortions.registry import STAGES, distortion
from miqa.taxonomy import ALL_DISTORTIONS, DISTORTION_FAMILIES

PACKAGE = Path(__file__).parents[2] / 'miqa'

NEW_FILE = '''
"""A scratch across the picture."""

STRENGTHS = {'scratch': [{'width': width} for width in (1, 2, 4, 8, 16)]}


def scratch(image, rng, width):
    """Draw a white bar at a random column."""
    out = image.copy()
    column = int(rng.integers(image.shape[1]))
    out[:, column : column + int(width)] = 255
    return out
'''

USE = """
import numpy as np
from miqa.distortions import apply_distortion, select_levels
from miqa.taxonomy import Version, distortions_named, parse_version_name, version_name

levels = select_levels(np.zeros((40, 60, 3), np.uint8), 'scratch', 1, 'a')
assert [chosen.params['width'] for chosen in levels] == [1, 2, 4, 8, 16]
assert apply_distortion(np.zeros((40, 60, 3), np.uint8), 'scratch', 4).max() == 255
assert parse_version_name(version_name(Version('a_b', 'scratch', 2, 5))).distortion == 'scratch'
assert distortions_named(['extra'])[-1] == 'scratch'
"""


def test_one_file_and_one_line_add_a_distortion(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / 'miqa', ignore=shutil.ignore_patterns('__pycache__'))
    (tmp_path / 'miqa/distortions/scratch.py').write_text(NEW_FILE, encoding='utf-8')
    table = tmp_path / 'miqa/taxonomy.py'
    text = table.read_text(encoding='utf-8')
    line = "        'impulse_noise': 'noise',\n"
    assert text.count(line) == 1
    table.write_text(text.replace(line, f"{line}        'scratch': 'scratch',\n"), encoding='utf-8')
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path)}
    done = subprocess.run([sys.executable, '-c', USE], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_of_the_table_has_a_function_with_the_parameters_of_its_strengths():
    for name in ALL_DISTORTIONS:
        kind = distortion(name)
        assert len(candidates(name)) == (5 if kind.family == 'camera' else 12)
        for params in candidates(name):
            kind.check(params)
        assert kind.stage is None or kind.stage in STAGES
        assert kind.function.__doc__
    assert len(ALL_DISTORTIONS) == len(set(ALL_DISTORTIONS)) == sum(map(len, DISTORTION_FAMILIES.values()))
