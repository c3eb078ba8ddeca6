"""Import the scripts in tools/ as modules, as Python does for a script's own folder; parse command lines of ours."""

import argparse
import importlib
import runpy
import sys
from pathlib import Path

import pytest

from miqa.cli.main import main

ROOT = Path(__file__).parents[2]

#: Scripts that only call a module of the package, which holds their options.
CALLERS = {'tools/train.py': 'miqa/train.py', 'tools/test.py': 'miqa/test.py'}


def home_of(path: str) -> Path:
    """Return the file that holds the options of a script."""
    return ROOT / CALLERS.get(path, path)


def load_tool(path: str):
    """Import a script by its path from the repository's root, such as ``tools/analysis/cases/index.py``."""
    if path in CALLERS:
        return importlib.import_module(CALLERS[path].removesuffix('.py').replace('/', '.'))
    file = ROOT / path
    folder = file.parent.parent if (file.parent / '__init__.py').is_file() else file.parent
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    if folder != file.parent:
        return importlib.import_module(f'{file.parent.name}.{file.stem}')
    module = importlib.import_module(file.stem)
    if Path(module.__file__) != file:
        raise ImportError(f'{file.stem} is {module.__file__}, not {file}: another module has the name.')
    return module


class Parsed(BaseException):
    """A command line was understood; nothing more is to happen."""


def parsed(words: list[str]) -> argparse.Namespace:
    """Run a command of ours, ``miqa ...`` or ``python tools/...``, up to the end of its parsing; return the values.

    Raises:
        SystemExit: it was not understood, or asked for help.
    """
    real = argparse.ArgumentParser.parse_args

    def parse_args(self, *arguments, **options):
        raise Parsed(real(self, *arguments, **options))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Parsed) as values:
        patch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)
        if words[0] == 'miqa':
            main(words[1:])
        else:
            # As Python does for a script: its own folder is searched.
            patch.syspath_prepend(str((ROOT / words[1]).parent))
            patch.setattr(sys, 'argv', words[1:])
            runpy.run_path(str(ROOT / words[1]), run_name='__main__')
    return values.value.args[0]
