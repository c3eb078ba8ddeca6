"""Software versions, for manifests."""

from __future__ import annotations

import platform
from importlib import metadata

#: Packages that can change an image, a prediction or a label.
PACKAGES = (
    'miqa',
    'torch',
    'torchvision',
    'timm',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmsegmentation',
    'onedl-mmdetection',
    'numpy',
    'scipy',
    'opencv-python',
    'opencv-python-headless',
    'pillow',
    'piq',
    'pyarrow',
    'pycocotools',
    'faster-coco-eval',
    'onnxruntime',
)


def versions_in_use(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of those ``packages`` that are installed, by distribution name."""
    versions = {'python': platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
