"""Import the scripts in tools/ as modules, as Python does for a script's own folder."""

import importlib
import sys
from pathlib import Path

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
