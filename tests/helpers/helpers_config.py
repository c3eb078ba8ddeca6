"""A config as small as a config can be that still is the real thing: RA-MIQA with two small ViTs."""

from __future__ import annotations

from pathlib import Path

CONFIGS = Path(__file__).parents[2] / 'configs'

_RA_MIQA = """
_base_ = [
    '{configs}/_base_/default_runtime.py',
    '{configs}/_base_/datasets/two_views.py',
    '{configs}/_base_/models/ra_miqa.py',
    '{configs}/_base_/schedules/paper.py',
]
task = '{task}'
data_root = '{data_root}'
batch_size = 8
seed = 7
selection = 'test'
schedule = dict(epochs=2, lr=1e-3)
small = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)
model = dict(
    data_preprocessor=dict(views=dict(image=dict(size=32), region=dict(size=40))),
    network=dict(
        base=dict(model_name='vit_tiny_patch16_224', pretrained=False, options=small),
        region_encoder=dict(weights=None, **small),
        dropout={dropout},
    ),
)
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=40)]
train_dataloader = dict(
    num_workers={workers},
    pin_memory=False,
    dataset=dict(pipeline=[*_load, dict(type='PackViews', image=32, region=40, random=True)]),
)
val_dataloader = dict(
    batch_size=7,
    num_workers={workers},
    pin_memory=False,
    dataset=dict(pipeline=[*_load, dict(type='PackViews', image=32, region=40)]),
)
test_dataloader = val_dataloader
visualizer = dict(_delete_=True, type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


def write_tiny_config(
    path: Path, data_root: Path, task: str = 'det', workers: int = 0, dropout: float = 0.2, more: str = ''
) -> Path:
    """Write the config of a RA-MIQA with about 20,000 trainable parameters and return its path.

    Args:
        path: of the config file.
        data_root: a database, such as :func:`helpers_database.write_database` makes.
        task: which of its tasks.
        workers: processes that load images.
        dropout: of the head.
        more: lines that follow.
    """
    text = _RA_MIQA.format(configs=CONFIGS.as_posix(), task=task, data_root=data_root, workers=workers, dropout=dropout)
    path.write_text(text + more, encoding='utf-8')
    return path
