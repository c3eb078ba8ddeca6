"""Settings of a database, and one record per finished source with every file's checksum.

``{task folder}/manifests/build.json`` holds the settings, which all sources share. ``manifests/{id}.json`` is
written when all files of a source are whole; it is the proof that the source is done.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from miqa.errors import MIQAError
from miqa.keeping import sha256_of_file
from miqa.keeping.sealed import DamagedFile, read_sealed_json, sealed
from miqa.keeping.temporaries import make_temporary
from miqa.keeping.versions import versions_in_use
from miqa.layout import build_settings_path, record_path

LOGGER = logging.getLogger('miqa')

_PACKAGES = ('miqa', 'numpy', 'scipy', 'opencv-python', 'opencv-python-headless', 'pillow', 'piq', 'torch')


class SettingsChanged(MIQAError, ValueError):
    """The database was started with other settings than those of this run."""


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change a byte of the result."""
    return versions_in_use(_PACKAGES)


def store_settings(folder: Path, settings: dict) -> None:
    """Write the settings of a database, or check that they are those it was started with.

    Several shards may start at once: the first one writes the file, the others compare.

    Raises:
        SettingsChanged: the file exists and differs; the message names every difference.
    """
    path = build_settings_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Tuples become lists, as they are when they are read again.
    expected = json.loads(json.dumps(settings, allow_nan=False))
    text = json.dumps(sealed(expected), indent=2, allow_nan=False) + '\n'
    handle, temporary = make_temporary(path)
    try:
        temporary.write_text(text, encoding='utf-8')
        try:
            # A link, unlike a rename, fails where the file exists.
            os.link(temporary, path)
            return
        except FileExistsError:
            pass
        except OSError:
            # A file system without links: the last of several shards that start at once wins, with the same text.
            if not path.exists():
                temporary.replace(path)
                return
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)
    stored = read_sealed_json(path, 'Delete it; the same command writes it again.')
    differences = [
        f'{key}: {_brief(stored.get(key))} there, {_brief(expected.get(key))} now'
        for key in sorted(set(stored) | set(expected))
        if stored.get(key) != expected.get(key)
    ]
    if differences:
        raise SettingsChanged(
            f'{path} says that this database was started with other settings ({"; ".join(differences)}). '
            f'Run with those, or write to another folder.'
        )


def _brief(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + '...'


def read_record(folder: Path, image_id: str) -> dict | None:
    """Return the record of a finished source, None where it is not finished or the record is damaged."""
    try:
        return read_sealed_json(record_path(folder, image_id), 'The source is made again.')
    except FileNotFoundError:
        return None
    except DamagedFile as error:
        LOGGER.warning('%s', error)
        return None


def describe_files(folder: Path, paths: list[Path]) -> dict[str, dict]:
    """Size and SHA-256 of files, by their path below ``folder`` (posix)."""
    return {
        path.relative_to(folder).as_posix(): {'bytes': path.stat().st_size, 'sha256': sha256_of_file(path)}
        for path in paths
    }


def find_damage(folder: Path, record: dict, checksums: bool = False) -> list[str]:
    """Compare the files of a finished source with its record, of :func:`read_record`: a sentence for each that differs.

    Only presence and size are compared; with ``checksums`` every byte is read.
    """
    damage = []
    for name, entry in record['files'].items():
        path = folder / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            damage.append(f'{path} is missing.')
            continue
        if size != entry['bytes']:
            damage.append(f'{path} has {size} bytes instead of {entry["bytes"]}.')
        elif checksums and sha256_of_file(path) != entry['sha256']:
            damage.append(f'{path} has other contents than its record says.')
    return damage
