#!/usr/bin/env python
"""Cache the features of a model's frozen network for every picture, instead of computing them at each step.

RA-MIQA's region encoder and the probes of response-aware models never change, and their view is never augmented, so
that their vectors are the same in every epoch. The region encoder's take 1.5 kB a picture: 1.5 GB for a million. A
killed run goes on with the same command. Configs that train from the cache are in configs/cached/.

The model refuses a cache that another network, other weights or another view made, and a picture that the cache does
not have is an error. One cache serves det and ins, which share their pictures.

Examples:
  python tools/data/cache_features.py configs/ra_miqa_cls.py --split train --out data/region_features/cls_train
  python tools/train.py configs/cached/ra_miqa_cls.py

  python tools/data/cache_features.py configs/mini/response_cls.py --split all --out data/demo/response_features/cls
  python tools/train.py configs/cached/response_cls.py
"""

import argparse
from pathlib import Path

from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import SAME_AGAIN, ConfigOptions, ToolParser, run_command
from miqa.running.cores import usable_cores
from miqa.taxonomy import SPLITS


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('config', help='config of a model with a frozen network, such as configs/ra_miqa_cls.py')
    parser.add_argument('--split', choices=(*SPLITS, 'test', 'all'), required=True)
    parser.add_argument('--out', type=Path, required=True, help='folder of the cache; must not exist')
    parser.add_argument('--data-root', '--data_root', help="the database (default: the config's)")
    parser.add_argument('--checkpoint', help="take the encoder's weights from this file instead of the config's")
    parser.add_argument('--batch-size', '--batch_size', type=int, default=64, help='pictures at a time (default: 64)')
    parser.add_argument('--workers', type=int, default=min(8, usable_cores()), help='processes that read pictures')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 ... (default: the first GPU, else cpu)')
    parser.add_argument('--amp', action='store_true', help='compute in bfloat16, faster on newer processors')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='other config keys: key.sub=value ...')
    return parser.parse_args()


def main():
    """Build the dataset and the encoder of a config and fill the cache."""
    args = parse_arguments()
    keep_freed_memory()
    from miqa.engine import load_config
    from miqa.engine.experiment import resolve_config
    from miqa.engine.feature_cache import cache_features
    from miqa.models import load_checkpoint
    from miqa.registry import DATASETS, MODELS
    from miqa.running.devices import usable_device

    options = dict(args.cfg_options or {})
    if args.data_root:
        options['data_root'] = args.data_root
    config = resolve_config(load_config(args.config, options))
    model = MODELS.build(config.model)
    frozen = getattr(model.network, 'frozen_encoders', dict)()
    if not frozen:
        raise ValueError(f'The network of {args.config}, {type(model.network).__name__}, has no frozen encoder.')
    ((view, encoder),) = frozen.items()
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint)
    else:
        encoder.init_weights()
    # The pipeline of the test loader has no randomness and packs the one view that the others are cut from.
    dataset = DATASETS.build({**config.test_dataloader.dataset, 'split': args.split})
    device = usable_device(args.device)
    cache = cache_features(
        encoder, model.data_preprocessor, dataset, args.out, args.batch_size, args.workers, device, view=view,
        amp=args.amp,
    )  # fmt: skip
    skipped = len(dataset) - len(cache)
    print(
        f'{len(cache):,} vectors of {cache.about["channels"]} numbers in {args.out}.'
        + (f' {skipped} pictures could not be read and are skipped.' if skipped else '')
    )


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
