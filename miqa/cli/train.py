"""``miqa train``: train a quality model."""

from __future__ import annotations

import argparse

from miqa import train

DESCRIPTION = train.__doc__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    train.add_arguments(parser)
    parser.set_defaults(run=lambda args: train.main(train.finished(args, parser)))
