"""Everything that a training depends on, as a short text, for scripts that skip finished runs.

  python -m miqa.engine.identity --data-root data/demo configs/mini/ra_miqa_cls.py [CONFIG ...]

prints one line for each config.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from miqa.keeping import sha256_of_file
from miqa.layout import label_folder, split_path
from miqa.running.command_line import ToolParser, run_command
from miqa.taxonomy import SPLITS

from .experiment import load_config


def training_identity(config: str | os.PathLike, data_root: str | os.PathLike) -> str:
    """Return 16 hexadecimal digits that change with the config's values, the labels or the splits, and nothing else.

    ``config`` is a file, or the name of a shipped one. Comments and files that it does not build on, versions of
    installed packages, and pictures, whose answers are in the labels, do not count.

    Raises:
        FileNotFoundError: there is no such config, or the database has no labels or lacks a split.
    """
    values = load_config(Path(config)).to_dict()
    folder = label_folder(data_root, values['task'])
    labels = sorted(folder.glob('*.csv'))
    if not labels:
        raise FileNotFoundError(f'There are no labels in {folder}.')
    files = [*labels, *(split_path(data_root, values['task'], split) for split in SPLITS)]
    contents = {'config': values, 'files': {path.name: sha256_of_file(path) for path in files}}
    return hashlib.sha256(json.dumps(contents, sort_keys=True, default=repr).encode()).hexdigest()[:16]


def main() -> None:
    """Print the identity of each config."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config file or name')
    parser.add_argument('--data-root', required=True, help='the database')
    args = parser.parse_args()
    for config in args.configs:
        print(training_identity(config, args.data_root))


if __name__ == '__main__':
    run_command(main)
