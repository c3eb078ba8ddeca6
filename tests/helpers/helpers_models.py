"""Small models and random released files for tests."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from miqa.models import QualityAssessor
from miqa.structures import QualitySample

HALF = {'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}

#: A RA-MIQA of the real kind, with ViTs of a few thousand parameters: views of 32 and 48 pixels.
TINY_RA_MIQA = {
    'type': 'RAMIQA',
    'base': {
        'type': 'PlainTransformer',
        'model_name': 'vit_tiny_patch16_224',
        'pretrained': False,
        'options': {'img_size': 32, 'patch_size': 8, 'embed_dim': 24, 'depth': 2, 'num_heads': 2},
    },
    'region_encoder': {
        'type': 'TimmRegionEncoder',
        'weights': None, 'img_size': 32, 'patch_size': 8, 'embed_dim': 16, 'depth': 2, 'num_heads': 2,
    },
}  # fmt: skip


def tiny_assessor(loss=({'type': 'MSELoss'},), **changes) -> QualityAssessor:
    """Build a QualityAssessor around :data:`TINY_RA_MIQA`; ``changes`` go to the network."""
    views = {'image': {'size': 32, **HALF}, 'region': {'size': 48, **HALF}}
    preprocessor = {'type': 'ViewPreprocessor', 'views': views}
    return QualityAssessor(network={**TINY_RA_MIQA, **changes}, data_preprocessor=preprocessor, loss=loss)


def tiny_batch(count: int, seed: int = 0) -> dict:
    """Return what a data loader gives for :func:`tiny_assessor`: lists of uint8 views, and samples."""
    generator = torch.Generator().manual_seed(seed)

    def picture(size):
        return torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator)

    labels = torch.rand(count, generator=generator)
    return {
        'inputs': {'image': [picture(32) for _ in range(count)], 'region': [picture(48) for _ in range(count)]},
        'data_samples': [QualitySample(gt_score=label) for label in labels],
    }


def released_shapes(method: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all tensors of a released file, in its order."""
    with open(Path(__file__).with_name('released_tensors.csv'), newline='') as stream:
        rows = [row for row in csv.DictReader(stream) if row['method'] == method]
    return {row['tensor']: tuple(map(int, row['shape'].split('x'))) if row['shape'] else () for row in rows}


def released_tensors(method: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return random tensors with the names and shapes of a released file."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in released_shapes(method).items()
    }


def mmseg_vit(side: int, patch: int, width: int, layers: int, heads: int) -> dict:
    """Return the options of MMSegmentation's ViT as the authors build their region encoder of it."""
    return {
        'img_size': (side, side), 'patch_size': patch, 'patch_bias': True, 'embed_dims': width, 'num_layers': layers,
        'num_heads': heads, 'mlp_ratio': 4, 'out_indices': -1, 'qkv_bias': True, 'with_cls_token': True,
        'final_norm': True, 'interpolate_mode': 'bicubic', 'norm_cfg': {'type': 'LN', 'eps': 1e-6},
    }  # fmt: skip
