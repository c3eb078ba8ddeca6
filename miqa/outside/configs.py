"""Location of the configs: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from miqa.taxonomy import did_you_mean

from .regular_files import check_regular

PREFIX = 'miqa::'  # What may stand before a config's name, as OpenMMLab's tools write it
_PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """Return the folder of configs: ``configs/`` of the checkout, or the wheel's copy of it.

    Raises:
        FileNotFoundError: the installation lacks them.
    """
    for folder in (_PACKAGE / 'configs', _PACKAGE.parent / 'configs'):
        if (folder / '_base_').is_dir():
            return folder
    raise FileNotFoundError(
        f'The configs are neither in {_PACKAGE / "configs"} nor in {_PACKAGE.parent / "configs"}: the installation is '
        'not whole. Install miqa again: pip install --force-reinstall --no-deps miqa'
    )


def config_names() -> dict[str, Path]:
    """Return the configs that can be named from any folder, such as ``ra_miqa_det`` and ``mini/cnn_det``.

    What others build on (``_base_``) and what only lists machines (``machines``) are none.
    """
    folder = config_folder()
    paths = {path.relative_to(folder).with_suffix('').as_posix(): path for path in sorted(folder.rglob('*.py'))}
    return {name: path for name, path in paths.items() if not name.startswith(('_base_/', 'machines/', '__'))}


def is_config(text: str | Path) -> bool:
    """Return True if a word on a command line means a config: a Python file, or the name of a shipped config."""
    return str(text).endswith('.py') or str(text).startswith(PREFIX) or _plain(text) in config_names()


def find_config(text: str | Path) -> Path:
    """Return the file of a config: a path, or the name of one of our configs, which a file of that name goes before.

    The name is as in ``configs/``, with or without that folder, the ending ``.py`` and a leading ``miqa::``.

    Raises:
        FileNotFoundError: it is neither; the message names the nearest.
        NotARegularFile: a folder, device or pipe has that name.
    """
    path = Path(text)
    if path.is_file():
        return path
    names = config_names()
    if (name := _plain(text)) in names:
        return names[name]
    if path.exists():
        check_regular(path, kind='config file')
    # Names alone are compared: a common folder and ending would make every config look alike.
    beside = {near.stem: str(near) for near in path.parent.glob('*.py')} if path.parent.is_dir() else {}
    hint = did_you_mean(path.stem, beside, beside.__getitem__) or did_you_mean(name, names)
    raise FileNotFoundError(
        f'There is no config file {path}.{hint or f" The configs are in {config_folder()}, such as ra_miqa_det."}'
    )


def _plain(text: str | Path) -> str:
    return str(text).removeprefix(PREFIX).removeprefix('configs/').removesuffix('.py')
