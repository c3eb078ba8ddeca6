"""The command ``miqa``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import miqa
from miqa.running.command_line import SAME_AGAIN, SuggestingParser, run_command
from miqa.running.waiting import wait_passively

#: Sub-commands, each in a module of its own name in :mod:`miqa.cli` (``_`` for ``-``), and what they are for. Only the
#: requested one is imported, so that ``miqa --help`` is fast.
COMMANDS = {
    'image': 'score images, folders of them, patterns, or a list on stdin',
    'video': 'score a video over time, annotate it, write a report',
    'camera': 'score a camera or stream while it runs',
    'filter': 'copy, link or list the good images of a folder',
    'label': 'make a labelled database from a folder of pictures and a machine',
    'train': 'train a quality model on a labelled database',
    'test': 'test a trained model, or the released weights',
    'compare': 'compare methods on the same test images: table, plots, what filtering gains',
    'gate': 'make a gate for your own machine, or fit a threshold with a guarantee',
    'models': 'list the models available by name',
    'benchmark-pairs': 'compare scores on pictures of the same scenes in good and bad conditions',
    'export': 'write a model as ONNX or torch.export file',
    'serve': 'serve a page for the browser and an HTTP endpoint',
}

# What other programs understand in place of an option.
_WORDS = {'help': '--help', 'version': '--version'}

_EXAMPLES = """
Examples:
  miqa image photo.jpg                                        # the packaged model; works offline
  miqa image shots/ --report page.html                        # a page, worst first
  miqa image shots/ --out scores.csv                          # a folder; run again to go on after a stop
  miqa filter shots/ --keep 0.8 --to good/                    # copy the best four fifths
  miqa models --task det                                      # models available by name

Exit status: 0 all went well; 1 an error; 2 wrong usage; 3 done, but some files could not be read.
"""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Build the parser with the whole of ``command`` and only the names of the others."""
    parser = SuggestingParser(
        prog='miqa',
        description='How well will vision models do on this image?',
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'miqa {miqa.__version__}')
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, purpose in COMMANDS.items():
        module = f'miqa.cli.{name.replace("-", "_")}'
        if importlib.util.find_spec(module) is None:
            continue
        subparser = subparsers.add_parser(name, help=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == command:
            verb = importlib.import_module(module)
            subparser.description, subparser.epilog = verb.DESCRIPTION, getattr(verb, 'EXAMPLES', None)
            subparser.set_defaults(run=getattr(verb, 'run', None))  # or its own add_arguments says which
            verb.add_arguments(subparser)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the status that the command returns, if it is not 0."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def run() -> None:
        if not arguments:
            build_parser().print_help()
            return
        wait_passively()
        if arguments[0] in _WORDS:
            arguments[:] = [*arguments[1:], _WORDS[arguments[0]]]
        if arguments[0] not in COMMANDS and os.path.lexists(arguments[0]):
            from miqa.apis.video.containers import VIDEO_SUFFIXES

            verb = 'video' if Path(arguments[0]).suffix.lower() in VIDEO_SUFFIXES else 'image'
            build_parser().error(f'name a command first: miqa {verb} {shlex.join(arguments)}')
        args = build_parser(arguments[0]).parse_args(arguments)
        status = args.run(args)
        if status:
            sys.exit(status)

    keeps = not {'--out', '-o', '--scores'}.isdisjoint(word.partition('=')[0] for word in arguments)
    resumes = keeps and (arguments[0] in ('image', 'filter', 'video', 'label') or arguments[:2] == ['gate', 'make'])
    go_on: str | Callable[[], str] = SAME_AGAIN if resumes or arguments[:1] == ['compare'] else ''
    if arguments[:1] == ['train']:
        from miqa.train import resume_command as go_on
    run_command(run, go_on)


if __name__ == '__main__':
    main()
