"""What a step has left, reduced to what must be the same after any number of interruptions."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pyarrow.parquet as pq

from miqa.keeping.sealed import read_batch

# Of a run's folder, what is compared; logs and curves tell of every start.
_CHECKPOINTS = ('latest.pth', 'best.pth')


def contents_of(place: Path) -> dict[str, str]:
    """Return name -> digest of all that counts in a file or folder; hidden files are left to another check.

    Checkpoints are compared by their tensors, and responses as tables sorted by image, because the moments of the
    interruptions decide into which parts they are divided.
    """
    if place.is_file():
        return {place.name: _scores(place) if place.suffix == '.csv' else _bytes(place)}
    if (place / 'latest.pth').is_file():
        return {name: _tensors(place / name) for name in _CHECKPOINTS}
    result: dict[str, str] = {}
    for folder in sorted({path.parent for path in place.rglob('*.parquet')}):
        result[f'{folder.relative_to(place)}/*.parquet'] = _table(folder)
    for path in sorted(place.rglob('*')):
        name = path.relative_to(place).as_posix()
        hidden = any(part.startswith('.') for part in path.relative_to(place).parts)
        # Files of an earlier, smaller division are kept under a number.
        if path.parent.name == 'splits' and re.search(r'\.\d+$', path.stem):
            continue
        if not path.is_file() or hidden or path.suffix == '.parquet' or path.name.startswith('checksums-'):
            continue
        result[name] = _result(path) if path.suffix in ('.json', '.md', '.html') else _bytes(path)
    return result


def _bytes(path: Path) -> str:
    content = path.read_bytes()
    if path.parent.name == '.miqa_index' and path.suffix == '.arrow':  # its signature holds times of change
        batch, about = read_batch(path, '')
        content = repr((batch.to_pydict(), {**json.loads(about), 'signature': ''})).encode()
    return hashlib.sha256(content).hexdigest()


def _scores(path: Path) -> str:
    """Return a table of scores without folders and times of pictures; rows are in the order in which they came."""
    rows = [line.split(',') for line in path.read_text(encoding='utf-8').splitlines()]
    return '\n'.join(sorted(','.join([Path(row[0]).name, *row[1:4]]) for row in rows))


def _result(path: Path) -> str:
    """Digest a report without what differs from run to run: folders, times and speeds."""
    if path.suffix != '.json':
        return 'there'
    return json.dumps(_timeless(json.loads(path.read_text(encoding='utf-8'))), sort_keys=True)


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not _changes(key)}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith('/') else value


def _changes(key: str) -> bool:
    # Versions: somebody may install something while the tries run.
    return key in ('checksum', 'crc32', 'versions') or any(
        word in key for word in ('second', 'modified', 'speed', 'time', 'path', 'asked', 'command')
    )


def _table(folder: Path) -> str:
    rows = [row for path in sorted(folder.glob('[!.]*.parquet')) for row in pq.read_table(path).to_pylist()]
    rows.sort(key=lambda row: str(row.get('filename', row.get('image'))))
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _tensors(path: Path) -> str:
    from miqa.models import read_checkpoint

    checkpoint = read_checkpoint(path)
    digest = hashlib.sha256(repr([checkpoint['meta'].get(key) for key in ('epoch', 'iter')]).encode())
    for name, tensor in sorted(checkpoint['state_dict'].items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
