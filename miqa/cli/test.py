"""``miqa test``: test a quality model."""

from __future__ import annotations

import argparse

from miqa import test

DESCRIPTION = test.__doc__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    test.add_arguments(parser)
    parser.set_defaults(run=lambda args: test.main(test.finished(args, parser)))
