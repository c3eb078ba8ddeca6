"""``miqa test``: test a quality model."""

from __future__ import annotations

import argparse

from miqa import test


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'test',
        help='test a model',
        description=test.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    test.add_arguments(parser)
    parser.set_defaults(run=lambda args: test.main(test.finished(args, parser)))
