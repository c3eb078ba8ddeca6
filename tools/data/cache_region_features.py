#!/usr/bin/env python
"""Cache what RA-MIQA's frozen region encoder says of every picture: 384 numbers instead of half of each step's work.

The encoder never changes and its view is never augmented, so its features are the same in every epoch. Computed once,
they take 1.5 kB a picture: 1.5 GB for a million. A killed run goes on with the same command. Configs that train from
the cache are in configs/cached/; they validate and test without it.

The model refuses a cache that another encoder, other weights or another view made, and a picture that the cache does
not have is an error. One cache serves det and ins, which share their pictures. Features are computed in float32, with
--amp too.

Examples:
  python tools/data/cache_region_features.py configs/ra_miqa_cls.py --split train --out data/region_features/cls_train
  python tools/train.py configs/cached/ra_miqa_cls.py
"""

import argparse
import os
from pathlib import Path

from mmengine.config import DictAction

from miqa.taxonomy import SPLITS
from miqa.utils.command_line import run_command


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of an RA-MIQA, such as configs/ra_miqa_cls.py')
    parser.add_argument('--split', choices=(*SPLITS, 'test'), required=True)
    parser.add_argument('--out', type=Path, required=True, help='folder of the cache; must not exist')
    parser.add_argument('--data-root', '--data_root', help="the database (default: the config's)")
    parser.add_argument('--checkpoint', help="take the encoder's weights from this file instead of the config's")
    parser.add_argument('--batch-size', '--batch_size', type=int, default=64, help='pictures at a time (default: 64)')
    parser.add_argument('--workers', type=int, default=min(8, os.cpu_count() or 1), help='processes that read pictures')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 ... (default: the first GPU, or cpu where there is none)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='any other config key: key.sub=value ...')
    return parser.parse_args()


def main():
    """Build the dataset and the encoder of a config and fill the cache."""
    args = parse_arguments()
    from mmengine.device import get_device

    from miqa.engine import load_config
    from miqa.engine.experiment import settle
    from miqa.models import load_checkpoint
    from miqa.models.region_feature_cache import cache_region_features
    from miqa.registry import DATASETS, MODELS

    options = dict(args.cfg_options or {})
    if args.data_root:
        options['data_root'] = args.data_root
    config = settle(load_config(args.config, options))
    model = MODELS.build(config.model)
    encoder = getattr(model.network, 'mask_encoder', None)
    if encoder is None:
        raise ValueError(f'The network of {args.config}, {type(model.network).__name__}, has no region encoder.')
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint)
    else:
        encoder.init_weights()
    # The pipeline of the test loader has no randomness and packs the region alone.
    dataset = DATASETS.build({**config.test_dataloader.dataset, 'split': args.split})
    device = args.device or get_device()
    cache = cache_region_features(
        encoder, model.data_preprocessor, dataset, args.out, args.batch_size, args.workers, device
    )
    left_out = len(dataset) - len(cache)
    print(
        f'{len(cache):,} vectors of {cache.about["channels"]} numbers in {args.out}.'
        + (f' {left_out} pictures could not be read and are left out.' if left_out else '')
    )


if __name__ == '__main__':
    run_command(main)
