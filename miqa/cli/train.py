"""``miqa train``: train a quality model."""

from __future__ import annotations

import argparse

from miqa import train


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'train',
        help='train a model',
        description=train.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_arguments(parser)
    parser.set_defaults(run=lambda args: train.main(train.finished(args, parser)))
