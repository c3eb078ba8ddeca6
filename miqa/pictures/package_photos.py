"""Photographs shipped with Python packages, for databases without any data.

``package_photos.csv`` beside this file lists them: ``package`` (import name), ``file`` (below the package),
``class_index`` and ``class_name`` (ImageNet-1k), ``sha256`` of the file, ``note``. The classes of foolbox's
photographs are those in its file names; all others were given by hand after looking at each picture, and ``note``
says where the class is only the nearest one. Photographs that show nothing of ImageNet's classes are not listed.
Nothing is copied into this project: the files are read where the packages were installed.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from miqa.keeping import sha256_of_file

from .reading import read_image


class PhotoPackage(NamedTuple):
    """A package that ships photographs: its name for pip, its license, and where it comes from."""

    distribution: str
    license: str
    home: str


#: Import name -> package. The license is the package's; photographs inside may have terms of their own.
PHOTO_PACKAGES = {
    'ai_benchmark': PhotoPackage('ai-benchmark', 'Apache-2.0', 'http://ai-benchmark.com'),
    'foolbox': PhotoPackage('foolbox', 'MIT', 'https://github.com/bethgelab/foolbox'),
    'skimage': PhotoPackage('scikit-image', 'BSD-3-Clause', 'https://scikit-image.org'),
    'sklearn': PhotoPackage('scikit-learn', 'BSD-3-Clause', 'https://scikit-learn.org'),
}


@dataclass(frozen=True)
class PackagePhoto:
    """One photograph.

    Attributes:
        package: import name of the package.
        file: path below the package, posix.
        class_index: ImageNet-1k class, 0 to 999, in the usual order.
        class_name: the class in words.
        sha256: of the verified file.
        note: what to know about the class, or empty.
    """

    package: str
    file: str
    class_index: int
    class_name: str
    sha256: str
    note: str

    @property
    def source(self) -> str:
        """Name of the photograph as a source of a database, such as ``foolbox_imagenet_00_243``."""
        return f'{self.package}_{Path(self.file).stem}'

    @property
    def path(self) -> Path:
        """Path of the file in the installed package.

        Raises:
            ImportError: the package is not installed.
        """
        return _package_folder(self.package) / self.file

    def read(self) -> np.ndarray:
        """Return the picture, uint8 (H, W, 3), RGB.

        Raises:
            ImportError: the package is not installed.
            FileNotFoundError: this version of the package does not ship the file.
            ValueError: the file is not the one that the list describes.
        """
        package = PHOTO_PACKAGES[self.package].distribution
        if not self.path.is_file():
            raise FileNotFoundError(f'The installed version of {package} has no file {self.path}. {_REPAIR}')
        if sha256_of_file(self.path) != self.sha256:
            raise ValueError(f'{self.path} is not the photograph that was labelled: its SHA-256 differs. {_REPAIR}')
        return read_image(self.path)


_REPAIR = "Install the tested versions: pip install -c requirements.txt -e '.[demo]'"


def list_photos() -> list[PackagePhoto]:
    """Return all listed photographs, in the order of the list, whether or not their packages are installed."""
    path = Path(__file__).with_suffix('.csv')
    with open(path, newline='', encoding='utf-8') as stream:
        return [
            PackagePhoto(**{**row, 'class_index': int(row['class_index'])})  # type: ignore[arg-type]
            for row in csv.DictReader(stream)
        ]


def missing_packages(photos: list[PackagePhoto]) -> list[str]:
    """Return the names for pip of packages that ``photos`` need and that are not installed, sorted."""
    needed = {photo.package for photo in photos}
    return sorted(PHOTO_PACKAGES[name].distribution for name in needed if importlib.util.find_spec(name) is None)


def installed_photos() -> list[PackagePhoto]:
    """Return all listed photographs; all their packages are installed.

    Raises:
        ImportError: a package is missing; the message names the command that installs it.
    """
    photos = list_photos()
    missing = missing_packages(photos)
    if missing:
        raise ImportError(
            f'The photographs of the demo database are in packages that are not installed: {", ".join(missing)}. '
            f"Install them: pip install -c requirements.txt -e '.[demo]'"
        )
    return photos


@functools.cache
def _package_folder(name: str) -> Path:
    # The package is found, not imported: some of them import deep learning frameworks, which are not needed here.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f'{PHOTO_PACKAGES[name].distribution} is not installed. {_REPAIR}')
    return Path(spec.origin).parent
