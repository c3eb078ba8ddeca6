"""The list of photographs is whole and honest, and reading one gives the picture that was labelled."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm.data
from helpers_refusals import refused
from PIL import Image

from miqa.pictures import package_photos
from miqa.pictures.package_photos import PHOTO_PACKAGES, installed_photos, list_photos, missing_packages
from miqa.taxonomy import Version, parse_version_name, version_name


@pytest.fixture(scope='module')
def photos():
    try:
        return installed_photos()
    except ImportError as error:
        pytest.skip(str(error))


def test_every_listed_class_name_is_imagenets_name_of_its_index():
    info = timm.data.ImageNetInfo()
    for photo in list_photos():
        assert photo.class_name == info.index_to_description(photo.class_index).split(', ')[0], photo


def test_foolbox_photographs_have_the_class_that_their_file_name_says():
    foolbox = [photo for photo in list_photos() if photo.package == 'foolbox']
    assert len(foolbox) == 20
    assert all(photo.class_index == int(Path(photo.file).stem.split('_')[-1]) for photo in foolbox)


def test_sources_and_pictures_are_distinct_and_named_so_that_versions_can_be_parsed():
    photos = list_photos()
    assert len(photos) >= 100
    assert len({photo.source for photo in photos}) == len({photo.sha256 for photo in photos}) == len(photos)
    for photo in photos:
        version = Version(photo.source, 'snow', 1, 4)
        assert parse_version_name(version_name(version)) == version


def test_every_package_names_its_license():
    assert {photo.package for photo in list_photos()} == set(PHOTO_PACKAGES)
    assert all(package.license for package in PHOTO_PACKAGES.values())


def test_every_photograph_is_installed_unchanged_and_large_enough_for_the_demo(photos):
    for photo in photos:
        assert hashlib.sha256(photo.path.read_bytes()).hexdigest() == photo.sha256, photo
        with Image.open(photo.path) as picture:
            assert min(picture.size) >= 256, photo


def test_reading_gives_pillows_pixels(photos):
    photo = photos[0]
    np.testing.assert_array_equal(photo.read(), np.asarray(Image.open(photo.path).convert('RGB')))


def test_a_changed_file_is_refused(photos, monkeypatch):
    other = dataclasses.replace(photos[0], sha256='0' * 64)
    refused(ValueError, 'SHA-256 differs', other.read)


def test_a_file_that_the_package_lacks_is_named(photos):
    refused(FileNotFoundError, r'no file .*nothing\.jpg', dataclasses.replace(photos[0], file='data/nothing.jpg').read)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(package_photos.importlib.util, 'find_spec', lambda name: None)
    assert missing_packages(list_photos()) == sorted(package.distribution for package in PHOTO_PACKAGES.values())
    refused(ImportError, r'ai-benchmark.*pip install .*\[demo\]', installed_photos)


def test_finding_a_photograph_does_not_import_its_package(photos):
    script = (
        'import sys; from miqa.pictures.package_photos import list_photos; '
        "[photo.path for photo in list_photos()]; print(*{'foolbox', 'ai_benchmark', 'sklearn'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, '-c', script], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == ''
