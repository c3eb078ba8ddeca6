"""Split files: the official ones, one's own, and what is wrong with bad ones."""

import numpy as np
import pytest
from helpers_database import source_ids, write_database, write_split
from helpers_refusals import refused
from helpers_serving import files, web_server

from miqa.datasets import DatabaseError, MIQDDataset, fingerprint, label_fingerprint, official_split, read_split
from miqa.datasets import miqd as miqd_module
from miqa.datasets.fingerprint import describe_fingerprint
from miqa.keeping import sha256_of_file
from miqa.keeping.downloads import DownloadError
from miqa.splits.reading import OFFICIAL_SPLITS, split_path
from miqa.splits.writing import OFFICIAL_URL, download_splits, make_splits, renew_splits
from miqa.taxonomy import TEST_LABEL_DEVIATIONS


def clear(root):
    for path in (root / 'splits').iterdir():
        path.unlink()


def put(root, name, text):
    path = root / 'splits' / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def official(shared_data, tmp_path):
    (tmp_path / 'splits').symlink_to(shared_data / 'miqd_splits')
    return tmp_path


@pytest.mark.parametrize('task, split, count, first', [
    ('cls', 'train', 4000, 'ILSVRC2012_val_00037809'),
    ('cls', 'val', 1000, 'ILSVRC2012_val_00032628'),
    ('cls', 'test', 1000, 'ILSVRC2012_val_00032628'),
    ('det', 'train', 4000, '000000532481'),
    ('det', 'val', 952, '000000577539'),
    ('ins', 'val', 952, '000000577539'),
])  # fmt: skip
def test_the_official_files_are_read_and_recognised(official, task, split, count, first):
    sources = read_split(official, task, split)
    assert len(sources) == count and sources[0] == first
    known = official_split(task, reversed(sources))
    assert known.sources == count and known.split == ('val' if split == 'test' else split)
    assert sha256_of_file(split_path(official, task, split)) == known.file_sha256
    assert official_split(task, sources[1:]) is None


def test_names_and_numbers_become_folder_names(tmp_path):
    put(tmp_path, 'miqa_cls_val.csv', '\ufeffCategory,Image Name\r\n"a, b",x.y.JPEG\r\nc,no_suffix_1.5\r\n')
    assert read_split(tmp_path, 'cls', 'val') == ['x.y', 'no_suffix_1.5']
    put(tmp_path, 'miqa_det_val.csv', 'Image Index\n139\n000000000285\n')
    assert read_split(tmp_path, 'ins', 'val') == ['000000000139', '000000000285']


@pytest.mark.parametrize('text, words', [
    ('', "no column 'Image Name'. Its columns: none"),
    ('Image Name\n', 'lists no sources'),
    ('Name\nx.JPEG\n', "no column 'Image Name'. Its columns: Name"),
    ('Image Name\nx.JPEG\ny.JPEG\nx.jpg\n', 'x is twice in the split file .*: rows 1 and 3'),
    ('Image Name,Category\n,hen\n', "row 1 of the split file .* is ''"),
    ('Image Name\nx.JPEG\n../y.JPEG\n', r"row 2 of the split file .* is '\.\./y.JPEG'"),
    (b'Image Name\n\xff\xfe\n', 'not UTF-8'),
])  # fmt: skip
def test_a_bad_cls_split_file_is_refused(tmp_path, text, words):
    put(tmp_path, 'miqa_cls_train.csv', text)
    refused(DatabaseError, words, read_split, tmp_path, 'cls', 'train')


@pytest.mark.parametrize('value', ['12a', '-5', '1.5', '1234567890123', ''])
def test_a_bad_det_number_is_refused(tmp_path, value):
    put(tmp_path, 'miqa_det_train.csv', f'Image Index,x\n139,0\n{value},0\n')
    with pytest.raises(DatabaseError, match="'Image Index' in row 2 .* expected a COCO image number"):
        read_split(tmp_path, 'det', 'train')


def test_a_source_in_both_splits_is_refused(tmp_path):
    put(tmp_path, 'miqa_det_train.csv', 'Image Index\n1\n2\n3\n')
    put(tmp_path, 'miqa_det_val.csv', 'Image Index\n9\n3\n')
    for split, rows in (('train', ('row 3', 'row 2')), ('val', ('row 2', 'row 3'))):
        with pytest.raises(DatabaseError, match=f'000000000003 is in both splits: {rows[0]} of .* and {rows[1]} of'):
            read_split(tmp_path, 'det', split)


def test_a_missing_split_file_says_how_to_get_it(tmp_path):
    refused(FileNotFoundError, 'download_splits.py', read_split, tmp_path, 'cls', 'train')
    # A test alone needs no train split.
    put(tmp_path, 'miqa_cls_val.csv', 'Image Name\nx.JPEG\n')
    assert read_split(tmp_path, 'cls', 'test') == ['x']


# Fetching the official files


@pytest.fixture
def mirror(shared_data):
    contents = {f'/{path.name}': path.read_bytes() for path in (shared_data / 'miqd_splits').glob('*.csv')}
    with web_server(files(contents)) as (address, _):
        yield f'http://{address}/'


def test_the_official_files_are_fetched_and_checked(mirror, tmp_path):
    paths = download_splits(tmp_path, base_url=mirror, progress=False)
    assert [path.name for path in paths] == [f'miqa_{known.task}_{known.split}.csv' for known in OFFICIAL_SPLITS]
    assert len(read_split(tmp_path, 'ins', 'train')) == 4000
    paths[0].write_text('Image Name\nmine.JPEG\n')
    refused(DownloadError, 'not the expected file', download_splits, tmp_path, base_url=mirror, progress=False)
    assert paths[0].read_text() == 'Image Name\nmine.JPEG\n'
    assert len(download_splits(tmp_path, ['ins'], mirror, progress=False)) == 2


def test_offline_the_message_says_which_file_to_put_where(tmp_path):
    message = str(refused(DownloadError, '', download_splits, tmp_path, ['cls'], 'http://127.0.0.1:1/', progress=False))
    assert str(tmp_path / 'splits' / 'miqa_cls_train.csv') in message and OFFICIAL_SPLITS[0].file_sha256 in message
    assert OFFICIAL_URL.startswith('https://')


# One's own split


@pytest.mark.parametrize('task', ['cls', 'det', 'ins'])
def test_own_splits_divide_the_labelled_sources(tmp_path, task):
    root = write_database(tmp_path, task, sources=10, versions=2, size=(4, 4))
    clear(root)
    made = make_splits(root, task, val_share=0.3, seed=5)
    assert len(made['val']) == 3 and sorted(made['train'] + made['val']) == source_ids(task, 10)
    assert read_split(root, task, 'val') == made['val'] and read_split(root, task, 'train') == made['train']
    refused(FileExistsError, 'is there already', make_splits, root, task)
    assert make_splits(root, task, val_share=0.3, seed=5) == made  # the same again is no conflict
    clear(root)
    assert make_splits(root, task, 0.3, seed=5) == made
    clear(root)
    assert make_splits(root, task, 0.3, seed=6) != made


def test_an_invalid_share_is_refused(tmp_path):
    refused(ValueError, 'share between 0 and 1', make_splits, tmp_path, 'cls', val_share=1.5)
    refused(DatabaseError, 'of 0 sources', make_splits, tmp_path, 'cls')


# The label fingerprint


def test_the_fingerprint_is_the_population_standard_deviation():
    labels = np.random.default_rng(0).random(1000).astype(np.float32)
    assert label_fingerprint(labels) == pytest.approx(np.sqrt(np.mean((labels.astype(float) - labels.mean()) ** 2)))


def test_the_identity_behind_the_fingerprint():
    """RMSE after a least-squares line is sigma * sqrt(1 - PLCC^2): how the published deviations were found."""
    rng = np.random.default_rng(1)
    labels = rng.random(500)
    scores = labels + rng.normal(0, 0.2, 500)
    residual = labels - np.polyval(np.polyfit(scores, labels, 1), scores)
    plcc = np.corrcoef(scores, labels)[0, 1]
    assert np.sqrt(np.mean(residual**2)) == pytest.approx(label_fingerprint(labels) * np.sqrt(1 - plcc**2))


@pytest.mark.parametrize('key', TEST_LABEL_DEVIATIONS, ids=str)
def test_the_papers_deviation_is_recognised_within_its_tolerance(key):
    label, task = key
    published = TEST_LABEL_DEVIATIONS[key]
    for off, words in ((0.0001, 'agrees with'), (-0.0002, 'agrees with'), (0.0003, 'cannot be compared')):
        assert words in describe_fingerprint(published + off, task, label, 'val', True, 0)
    assert 'no published value' in describe_fingerprint(published, task, label, 'val', False, 0)
    assert 'gives none for training' in describe_fingerprint(published, task, label, 'train', True, 0)
    assert '7 images of the split are skipped' in describe_fingerprint(0.1, task, label, 'val', True, 7)


def test_a_dataset_says_its_fingerprint(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(miqd_module, 'log', lambda text, **rest: messages.append(text))
    root = write_database(tmp_path, 'det', versions=6, size=(4, 4))
    dataset = MIQDDataset(root, 'det', label='accuracy', split='test')
    assert messages == [
        f'Label fingerprint of det val, accuracy: standard deviation {np.std(dataset.labels, dtype=float):.4f}. '
        'The sources are not those of the official test split, so there is no published value.'
    ]  # fmt: skip
    assert dataset.metainfo['fingerprint'] == pytest.approx(float(np.std(dataset.labels, dtype=float)))


def test_an_official_split_with_other_labels_is_reported_as_different(official, tmp_path, monkeypatch):
    """The official 952 sources with made-up labels, one version each."""
    root = tmp_path / 'db'
    write_database(root, 'det', sources=2, versions=1, size=(4, 4))
    sources = read_split(official, 'det', 'val')
    labels, images = root / 'miqa_det' / 'labels', root / 'miqa_det' / 'images'
    for number, source in enumerate(sources):
        (images / source).mkdir(exist_ok=True)
        (images / source / f'{source}_snow_1.png').touch()
        for label in ('accuracy', 'consistency'):
            text = f'filename,AP_weighted_avg\n{source}_snow_1.png,{number % 2}\n'
            (labels / f'{source}_{label}.csv').write_text(text)
    write_split(root, 'det', 'val', sources)
    messages = []
    monkeypatch.setattr(miqd_module, 'log', lambda text, **rest: messages.append(text))
    dataset = MIQDDataset(root, 'det', split='test')
    assert dataset.metainfo['official_split'] is True and len(dataset) == 952
    assert '0.5000, but the official test split has 0.2835' in messages[0]
    # With the paper's deviation, the sentence is another.
    monkeypatch.setitem(fingerprint.TEST_LABEL_DEVIATIONS, ('composite', 'det'), 0.5)
    MIQDDataset(root, 'det', split='test')
    assert 'agrees with the 0.5000' in messages[1]
    # The training split of the same name is not the official one.
    assert MIQDDataset(root, 'det', split='train').metainfo['official_split'] is False


def test_splits_that_were_made_of_fewer_sources_are_made_anew_and_own_ones_stay(tmp_path):
    root = write_database(tmp_path / 'whole', 'cls', sources=8, versions=1, size=(4, 4))
    folder = root / 'splits'
    clear(root)
    whole = make_splits(root, 'cls', 0.3, seed=5)
    assert renew_splits(root, 'cls', 0.3, 5)[0] == {}
    labels = sorted((root / 'miqa_cls' / 'labels').iterdir())
    late = [path for path in labels if path.name.startswith(whole['train'][0])]
    texts = {path: path.read_bytes() for path in late}
    for path in [*folder.iterdir(), *late]:
        path.unlink()
    make_splits(root, 'cls', 0.3, seed=5)
    earlier = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path, text in texts.items():
        path.write_bytes(text)
    made, note = renew_splits(root, 'cls', 0.3, 5)
    assert made == whole and 'Made the split files anew, with 1 more sources' in note
    assert {path.name.replace('.1.', '.'): path.read_bytes() for path in folder.glob('*.1.csv')} == earlier
    own = folder / 'miqa_cls_train.csv'
    own.write_text('\n'.join(own.read_text().splitlines()[:3]) + '\n')
    text = own.read_text()
    made, note = renew_splits(root, 'cls', 0.3, 5)
    assert made == {} and own.read_text() == text
    assert f'name none of {len(whole["train"]) - 2} sources with labels' in note
    own.unlink()  # a run that was stopped between the two files
    (folder / 'miqa_cls_val.csv').write_bytes((folder / 'miqa_cls_val.csv').read_bytes())
    assert renew_splits(root, 'cls', 0.3, 5)[0] == whole
