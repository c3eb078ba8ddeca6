"""Values of measures that were kept: of the very pictures that are there, and one bad picture costs one value."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_database import write_database
from helpers_refusals import refused
from PIL import Image

from miqa.benchmark.baselines import read_test_images, run, score_images
from miqa.benchmark.baselines.picture_measure import PictureMeasure
from miqa.outside.regular_files import UnopenedFile, read_regular
from miqa.pictures import UnreadableImage, read_image


@pytest.fixture
def database(tmp_path):
    return write_database(tmp_path / 'data', 'cls', sources=4, val_sources=2)


@pytest.fixture
def measured(monkeypatch):
    names, original = [], run._measure_source

    def counting(name, device, clean, root, images):
        names.extend(images)
        return original(name, device, clean, root, images)

    monkeypatch.setattr(run, '_measure_source', counting)
    return names


def values(database):
    images = read_test_images(database, 'cls')
    return images, score_images(database, 'cls', images, 'PSNR', progress=False)


def test_a_row_of_error_is_tried_again_and_a_rebuilt_picture_measured_again(database, measured):
    folder = database / 'miqa_cls' / 'images'
    names = list(read_test_images(database, 'cls').image)
    first, second = folder / names[0], folder / names[5]
    kept = second.read_bytes()
    second.write_bytes(kept[:50])
    _, before = values(database)
    assert np.isnan(before[5]) and before.notna().sum() == len(names) - 1
    measured.clear()
    second.write_bytes(kept)
    pixels = np.asarray(Image.open(first)) // 2
    Image.fromarray(pixels).save(first)
    _, after = values(database)
    assert sorted(measured) == sorted([names[0], names[5]])
    assert after.notna().all() and after[0] != before[0]
    # Another source changes all that is compared with it.
    measured.clear()
    source = Path(names[0]).parts[0]
    clean = next((database / 'miqa_cls' / 'src_images').glob(f'{source}.*'))
    Image.fromarray(np.asarray(Image.open(clean)) // 2).save(clean)
    values(database)
    assert sorted(measured) == sorted(name for name in names if name.startswith(f'{source}/'))


def test_links_in_a_circle_are_one_missing_value(database):
    images = read_test_images(database, 'cls')
    path = database / 'miqa_cls' / 'images' / images.image[2]
    path.unlink()
    path.symlink_to(path.name)
    _, scores = values(database)
    assert np.isnan(scores[2]) and scores.notna().sum() == len(images) - 1


def test_a_picture_that_a_measure_cannot_take_is_one_missing_value(database, monkeypatch):
    original = PictureMeasure.__subclasses__()

    def faulty(kind):
        inner = kind.measure

        def measure(self, pictures, reference):
            if any(picture[0, 0, 0] == 7 for picture in pictures):
                raise RuntimeError('kernel size is greater than the picture')
            return inner(self, pictures, reference)

        return measure

    for kind in original:
        monkeypatch.setattr(kind, 'measure', faulty(kind))
    names = read_test_images(database, 'cls').image
    path = database / 'miqa_cls' / 'images' / names[1]
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] = 7
    Image.fromarray(pixels).save(path)
    _, scores = values(database)
    assert np.isnan(scores[1]) and scores.notna().sum() == len(names) - 1


def test_a_file_that_cannot_be_opened_is_a_bad_picture_wherever_pictures_are_read(tmp_path, monkeypatch):
    (tmp_path / 'a.png').symlink_to('a.png')
    with pytest.raises(UnreadableImage, match=r'a\.png cannot be read: Too many levels of symbolic links'):
        read_image(tmp_path / 'a.png')
    refused(UnopenedFile, 'cannot be read', read_regular, tmp_path / ('x' * 300))
    shutil.copy(__file__, tmp_path / 'b.png')
    monkeypatch.setattr(os, 'open', lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, 'Permission denied')))
    refused(UnreadableImage, r'b\.png cannot be read: Permission denied', read_image, tmp_path / 'b.png')
