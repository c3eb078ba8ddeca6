"""One flipped byte in a file that was kept is noticed where the file is read; the message says how to make it again."""

import json
import re
import warnings
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch
from helpers_database import write_database
from helpers_refusals import refused
from helpers_responses import write_responses

from miqa.apis.results import ResultFile, read_rows
from miqa.benchmark.baselines import read_test_images, score_images
from miqa.datasets import DatabaseError, open_index
from miqa.datasets.index import SampleIndex
from miqa.datasets.packed import PackedPictures
from miqa.datasets.packing import Packing
from miqa.datasets.transforms.cached_features import FeatureCache, block_crc, image_key
from miqa.errors import CheckpointError
from miqa.keeping import DamagedFile
from miqa.keeping.files import crc_of_file
from miqa.keeping.sealed import read_batch, read_sealed_json, write_batch, write_sealed_json
from miqa.labelling import label_database
from miqa.layout import image_root, responses_folder, scores_folder
from miqa.machines import ResponseFolder
from miqa.outside.checkpoint_files import read_torch_file


def flips(path, count=60, seed=0):
    """Write the file with one bit flipped, at many places in turn, and put it right again at the end."""
    whole = path.read_bytes()
    rng = np.random.default_rng(seed)
    for position in np.unique(rng.integers(len(whole), size=count)):
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        yield int(position)
    path.write_bytes(whole)


def noticed_in(path, count, read, check, errors, words=()):
    """Return how many of ``count`` flips ``read()`` refuses with these words; what it gives otherwise is checked."""
    noticed = 0
    for _ in flips(path, count):
        try:
            result = read()
        except errors as error:
            assert all(word in str(error) for word in words)
            noticed += 1
        else:
            check(result)
    return noticed


def test_a_record_batch_is_read_as_written_or_refused(tmp_path):
    path = tmp_path / 'a.arrow'
    labels = pa.array(np.linspace(0, 1, 500).astype(np.float32))
    names = pa.DictionaryArray.from_arrays(np.arange(500).astype(np.uint8) % 3, pa.array(['a', 'bb', 'ccc']))
    batch = pa.RecordBatch.from_arrays([names, labels], names=['source', 'label'])
    write_batch(path, batch, '{"rows": 500}')

    def whole(result):
        # Padding, or a part of the format that says nothing: what was written is what is read.
        assert result[0].equals(batch) and result[1] == '{"rows": 500}'

    target = f'{path} is damaged: ', 'Make it again.'
    assert noticed_in(path, 400, lambda: read_batch(path, 'Make it again.'), whole, DamagedFile, target) > 200
    assert read_batch(path, '')[0].equals(batch)


def test_json_is_read_as_written_or_refused(tmp_path):
    path = tmp_path / 'manifest.json'
    value = {'weight': 0.5, 'names': ['a', 'b'], 'nested': {'x': 1}}
    write_sealed_json(path, value)

    def same(result):
        assert result == value

    noticed_in(path, 200, lambda: read_sealed_json(path, 'Run it again.'), same, DamagedFile, ['Run it again.'])
    for text in ('', '[1]', '{"a": 1', '[' * 100_000, '{"weight": 0.5}'):
        path.write_text(text)
        refused(DamagedFile, re.escape(str(path)), read_sealed_json, path, 'Run it again.')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = write_database(tmp_path_factory.mktemp('data'), 'cls', sources=4, val_sources=2)
    write_responses(root, 'cls', {'first': 1.0, 'second': 0.5})
    return root


def test_an_index_with_a_flipped_byte_is_built_again(root):
    index = open_index(root, 'cls', 'train')
    expected = {label: index.labels(label).copy() for label in ('consistency', 'accuracy')}
    assert noticed_in(index.path, 25, lambda: SampleIndex(index.path), lambda _: None, DatabaseError) >= 15
    changed = bytearray(index.path.read_bytes())
    place = bytes(changed).index(expected['accuracy'].tobytes())
    changed[place + 3] ^= 0x60
    index.path.write_bytes(bytes(changed))
    refused(DatabaseError, 'its checksum does not fit. Delete it', SampleIndex, index.path)
    second = open_index(root, 'cls', 'train')
    for label, values in expected.items():
        np.testing.assert_array_equal(second.labels(label), values)


def test_responses_and_their_manifest_are_compared_with_their_checksums(root):
    store = ResponseFolder(responses_folder(root, 'cls') / 'first')
    (part,) = store.parts()
    label = partial(label_database, root, 'cls', overwrite=True, progress=False)
    for _ in flips(part, 5):
        target = r'run_machines.py .* --task cls --only first --machines CONFIG'
        assert str(part) in str(refused(DamagedFile, target, ResponseFolder(store.folder).done))
        refused(DamagedFile, 'its SHA-256 is not the one that was noted', label)
    manifest = store.folder / 'manifest.json'
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"weight": 1.0', '"weight": 7.0'))
    refused(DamagedFile, f'{re.escape(str(manifest))} is damaged', label)
    manifest.write_text(whole)


def test_damaged_scores_are_computed_again(root, tmp_path):
    before = label_database(root, 'cls', overwrite=True, progress=False)['statistics']
    (part,) = (scores_folder(root, 'cls') / 'first').glob('*.parquet')
    changed = bytearray(part.read_bytes())
    changed[len(changed) // 3] ^= 4
    part.write_bytes(bytes(changed))
    assert label_database(root, 'cls', overwrite=True, progress=False)['statistics'] == before
    labels = root / 'miqa_cls' / 'labels' / 'manifest.json'
    labels.write_text(labels.read_text()[:-20])
    with pytest.raises(DamagedFile, match='Move .*labels away: the same command makes the labels again'):
        label_database(root, 'cls', progress=False)
    labels.parent.rename(tmp_path / 'away')
    assert label_database(root, 'cls', progress=False)['statistics'] == before


def test_a_deleted_part_of_responses_is_made_again_under_its_name(root, tmp_path):
    store = ResponseFolder(tmp_path / 'miqa_cls' / 'responses' / 'm')
    machine = {'name': 'm', 'weight': 1.0, 'fingerprint': 'f', 'classes': ['a'], 'task': 'cls'}
    store.start({'machine': machine, 'parameters': {}, 'versions': {}})
    row = {'source': 's', 'filename': 's.png', 'distortion': None, 'fg_level': 0, 'bg_level': 0,
           'width': 1, 'height': 1, 'crc32': 1, 'error': None}  # fmt: skip
    first = store.write_part([row], 'cls', (1, 1))
    first.unlink()
    assert store.write_part([{**row, 'crc32': 2}], 'cls', (1, 1)) == first
    assert store.done() == {'s.png'}


def test_a_baseline_cache_is_believed_only_as_written(root, tmp_path):
    images = read_test_images(root, 'cls')
    options = {'cache': tmp_path, 'progress': False}
    expected = score_images(root, 'cls', images, 'PSNR', **options)
    (part,) = tmp_path.glob('*/*.parquet')
    for _ in flips(part, 8):
        refused(DamagedFile, 'the next benchmark measures again', score_images, root, 'cls', images, 'PSNR', **options)
    assert score_images(root, 'cls', images, 'PSNR', **options).equals(expected)


def test_packed_pictures_their_list_and_their_manifest(root, tmp_path):
    index = open_index(root, 'cls', 'train')
    pictures = image_root(root, 'cls')
    Packing(index, pictures, tmp_path, images_per_batch=4, images_per_shard=8).run(progress=False)

    def read():
        packed = PackedPictures(tmp_path, index)
        return [packed.read(position) for position in range(len(index))]

    def same(result):
        assert all(np.array_equal(one, two) for one, two in zip(result, expected, strict=True))

    expected = read()
    for path in (tmp_path / 'packed.json', tmp_path / 'images.arrow', tmp_path / 'shard_00001.arrow'):
        assert noticed_in(path, 25, read, same, (DatabaseError, DamagedFile), ['ack']) >= 8, path
    assert len(json.loads((tmp_path / 'packed.json').read_text())['shards'][1]['facts_crc32']) == 2


def test_a_checkpoint_with_a_flipped_byte_is_read_as_written_or_refused(tmp_path):
    path = tmp_path / 'latest.pth'
    written = {'state_dict': {f'network.{name}': torch.rand(40, 30) for name in 'abc'}, 'meta': {'epoch': 2, 'iter': 7}}
    torch.save(written, path)

    def same(result):
        assert result['meta'] == written['meta']
        for name, tensor in written['state_dict'].items():
            assert torch.equal(result['state_dict'][name], tensor)

    message = str(path), f'miqa train CONFIG --work-dir {tmp_path}'
    assert noticed_in(path, 150, lambda: read_torch_file(path), same, CheckpointError, message) > 120


def test_cached_features_are_read_as_written_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    images = [f'p{number}.png' for number in range(300)]
    vectors = rng.random((300, 4), dtype=np.float32)
    keys = np.array([image_key(image) for image in images], np.uint64)
    order = np.argsort(keys)
    np.save(tmp_path / 'features.npy', vectors)
    np.save(tmp_path / 'keys.npy', keys[order])
    np.save(tmp_path / 'rows.npy', order)
    np.save(tmp_path / 'checksums.npy', np.array([block_crc(vectors, 0)], np.uint32))
    checked = {f'{name}.npy': crc_of_file(tmp_path / f'{name}.npy') for name in ('keys', 'rows', 'checksums')}
    write_sealed_json(tmp_path / 'about.json', {'images': 300, 'channels': 4, 'crc32': checked})

    def read():
        cache = FeatureCache(tmp_path)
        return np.array([cache.get(image) for image in images])

    for name in ('features.npy', 'keys.npy', 'rows.npy', 'checksums.npy', 'about.json'):
        same = partial(np.testing.assert_array_equal, desired=vectors)
        assert noticed_in(tmp_path / name, 12, read, same, ValueError) >= 6, name


@pytest.mark.parametrize('ending', ['.csv', '.jsonl'])
def test_a_journal_gives_the_rows_that_were_written_or_leaves_them_to_be_made_again(ending, tmp_path):
    images = [tmp_path / f'{number}.png' for number in range(6)]
    for image in images:
        image.write_bytes(b'x')
    out = tmp_path / f'scores{ending}'
    results = ResultFile(out, 'model')
    for number, image in enumerate(images):
        results.add(str(image), 0.1 * number, 'low', None)
    results.close()
    journal = out if ending == '.jsonl' else out.with_name('scores.csv.part.jsonl')
    whole = journal.read_bytes()
    written = [json.loads(line)['score'] for line in whole.splitlines()]
    rng, dropped = np.random.default_rng(0), 0
    for place in rng.choice(np.arange(20, len(whole) - 1), 150, replace=False):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        journal.write_bytes(data)
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter('always')
                result = [row['score'] for row in read_rows(journal)]
        except ValueError as error:
            assert journal.name in str(error)
            continue
        assert set(result) <= set(written)
        assert len(result) == len(written) or (said and 'scored again' in str(said[0].message))
        dropped += len(result) < len(written)
    assert dropped > 50
    journal.write_bytes(whole.replace(b'0.1,', b'0.9,'))
    with pytest.warns(UserWarning, match='scored again'):
        results = ResultFile(out, 'model')
    assert [results.has(str(image)) for image in images] == [True, False, True, True, True, True]
    results.add(str(images[1]), 0.1, 'low', None)
    with pytest.warns(UserWarning, match='scored again'):
        results.finish()
    rows = list(read_rows(out))
    assert sorted(row['score'] for row in rows) == sorted(written) and b'"crc32"' not in out.read_bytes()
