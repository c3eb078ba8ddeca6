"""Check that a packed folder is complete and belongs to the original files."""

from __future__ import annotations

import os
from pathlib import Path

from tqdm import tqdm

from miqa.errors import DatabaseError
from miqa.keeping import sha256_of_file
from miqa.layout import PACKED_MANIFEST, packed_shard_path

from .packed import describe_change, open_shard, read_manifest


def check_packed(folder: str | os.PathLike, image_root: str | os.PathLike | None, progress: bool = True) -> dict:
    """Compare every shard with its SHA-256 and, given ``image_root``, every original file with what was packed.

    Returns the manifest.

    Raises:
        DatabaseError: something differs; the message names it.
    """
    folder = Path(folder)
    path = folder / PACKED_MANIFEST
    if not path.is_file():
        raise DatabaseError(f'There is no {path}: packing has not finished. Run tools/data/pack.py again.')
    manifest = read_manifest(folder)
    with tqdm(total=manifest['images'], desc='Checking', unit='image', disable=not progress) as bar:
        for number, shard in enumerate(manifest['shards']):
            path = packed_shard_path(folder, number)
            reader = open_shard(path)
            if sha256_of_file(path) != shard['sha256']:
                raise DatabaseError(
                    f'{path} is damaged: its SHA-256 differs. Delete it and run tools/data/pack.py again.'
                )
            for batch in range(reader.num_record_batches):
                records = reader.get_batch(batch).drop_columns(['pixels']).to_pylist()
                changes = (
                    describe_change(Path(image_root), record, path) for record in records if image_root is not None
                )
                changed = next((change for change in changes if change), None)
                if changed:
                    raise DatabaseError(f'{folder} was packed from other files: {changed}.')
                bar.update(len(records))
    return manifest
