#!/usr/bin/env python
"""Compare ways of scoring the same test images; the same as ``miqa compare``."""

from miqa.cli.compare import DESCRIPTION, add_arguments, run
from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command


def main() -> int:
    """Compare as the command line says; returns the exit status."""
    parser = ToolParser(description=DESCRIPTION)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
