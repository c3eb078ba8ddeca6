"""Perceptual quality measures under one interface.

PSNR, SSIM and VSI come from :mod:`miqa.distortions.fidelity`, LPIPS (Zhang et al., CVPR 2018) and DISTS
(Ding et al., IEEE TPAMI 2022) from piq, whose networks fetch their weights at first use. HyperIQA (Su et al., CVPR
2020), MANIQA (Yang et al., CVPR Workshops 2022) and any other metric come from pyiqa by name: ``pyiqa:musiq``. pyiqa
is optional and imported only then; its licence does not allow commercial use.

Pictures are compared at full resolution, as uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import numpy as np
import torch

from miqa.distortions.fidelity import FidelitySource
from miqa.running import require
from miqa.taxonomy import check_choice

from .picture_measure import PictureMeasure, required_reference

BATCH_PIXELS = 4_000_000  # Pixels that a network is given at once; keeps a batch of 250 large versions out of memory


class FidelityMetric(PictureMeasure):
    """A measure of :mod:`miqa.distortions.fidelity`: one picture against its source."""

    def __init__(self, name: str, device: str = 'cpu'):
        self.name = name
        # No piq runs; these are the numbers of its formulas.
        self.version = 'piq 0.8 in double precision'

    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        source = FidelitySource(required_reference(reference, self.name), (self.name,))
        return np.array([source.measure(image)[self.name] for image in images])


class FeatureDistance(PictureMeasure):
    """LPIPS or DISTS: a distance of features of a VGG-16; lower is better."""

    higher_is_better = False

    def __init__(self, name: str, device: str = 'cpu'):
        import piq

        self.name, self.device = name, device
        self.version = f'piq {metadata.version("piq")}'
        distance = getattr(piq, check_choice(name, ('LPIPS', 'DISTS'), 'feature distance'))
        self.network = _fetched(name, lambda: distance(reduction='none')).to(device).eval()

    @torch.inference_mode()
    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        values = []
        source = _tensor(required_reference(reference, self.name), self.device)
        for batch in _batches(images):
            pictures = torch.cat([_tensor(image, self.device) for image in batch])
            values.append(self.network(pictures, source.expand_as(pictures)).double().cpu().numpy().ravel())
        return np.concatenate(values)


class PyiqaMetric(PictureMeasure):
    """Any metric of pyiqa; ``model`` is its name there, such as ``maniqa``.

    Raises:
        ImportError: pyiqa is not installed.
        OSError: its weights cannot be fetched.
    """

    def __init__(self, name: str, model: str, device: str = 'cpu'):
        pyiqa = require('pyiqa', f'{name} (non-commercial licence)')
        check_choice(model, pyiqa.list_models(), 'metric of pyiqa')
        self.name, self.device = name, device
        self.version = f'pyiqa {metadata.version("pyiqa")}'
        self.network = _fetched(name, lambda: pyiqa.create_metric(model, device=torch.device(device)))
        self.higher_is_better = not self.network.lower_better
        self.needs_reference = self.network.metric_mode == 'FR'

    @torch.inference_mode()
    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        values = []
        for batch in _batches(images):
            pictures = torch.cat([_tensor(image, self.device) for image in batch])
            inputs = [pictures]
            if self.needs_reference:
                inputs.append(_tensor(required_reference(reference, self.name), self.device).expand_as(pictures))
            values.append(np.atleast_1d(self.network(*inputs).double().cpu().numpy().ravel()))
        return np.concatenate(values)


#: The paper's seven measures of human vision.
METRICS: dict[str, Callable[..., PictureMeasure]] = {
    **{name: lambda device='cpu', name=name: FidelityMetric(name, device) for name in ('PSNR', 'SSIM', 'VSI')},
    **{name: lambda device='cpu', name=name: FeatureDistance(name, device) for name in ('LPIPS', 'DISTS')},
    'HyperIQA': lambda device='cpu': PyiqaMetric('HyperIQA', 'hyperiqa', device),
    'MANIQA': lambda device='cpu': PyiqaMetric('MANIQA', 'maniqa', device),
}

_PYIQA = 'pyiqa:'


def is_metric_name(name: str) -> bool:
    """Return True if :func:`build_metric` takes the name."""
    return name in METRICS or (name.startswith(_PYIQA) and len(name) > len(_PYIQA))


def build_metric(name: str, device: str = 'cpu') -> PictureMeasure:
    """Build one of :data:`METRICS` by name, or any metric of pyiqa as ``pyiqa:NAME``.

    Raises:
        ValueError: there is no such metric.
        ImportError: it needs a package that is not installed.
        OSError: its weights cannot be fetched.
    """
    if name.startswith(_PYIQA):
        return PyiqaMetric(name, name.removeprefix(_PYIQA), device)
    return METRICS[check_choice(name, METRICS, 'measure of human vision')](device)


def _fetched(name: str, build: Callable):
    try:
        return build()
    except OSError as error:
        raise OSError(
            f'The pretrained weights of {name} cannot be fetched ({error}). Run once with internet access, or copy '
            f'the files into the folder hub/checkpoints of $TORCH_HOME (default: ~/.cache/torch).'
        ) from error


def _tensor(image: np.ndarray, device: str) -> torch.Tensor:
    """Return float32 (1, 3, H, W) in [0, 1] of a uint8 RGB array (H, W, 3)."""
    return torch.from_numpy(image).to(device).permute(2, 0, 1).unsqueeze(0).float() / 255


def _batches(images: list[np.ndarray]) -> list[list[np.ndarray]]:
    height, width = images[0].shape[:2]
    size = max(1, BATCH_PIXELS // (height * width))
    return [images[start : start + size] for start in range(0, len(images), size)]
