"""``miqa models``: models available by name."""

from __future__ import annotations

import argparse
import json

from miqa.taxonomy import LABELS, TASKS

PACKAGED_NAME = 'miqa-lite'  # The model in ``miqa/box``

DESCRIPTION = "List the authors' released weights, the paper's figures for them, and which are on this machine."
EXAMPLES = """
Examples:
  miqa models                          # all
  miqa models miqa-lite                # the card of the model that ships with the package
  miqa models --task det --label accuracy
  miqa models --method ra-miqa --json  # with addresses and preprocessing
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        'name', nargs='?', choices=(PACKAGED_NAME,), help='print the card of the model that ships with the package'
    )
    parser.add_argument('--task', choices=TASKS, help='only of this task')
    parser.add_argument('--label', choices=LABELS, help='only of this label')
    parser.add_argument('--method', help='only of this method, in any spelling')
    parser.add_argument('--json', action='store_true', help='print all fields, as JSON')
    parser.add_argument('--register-demo', metavar='CHECKPOINT', help="make this checkpoint the model 'demo' and stop")
    parser.add_argument(
        '--register-demo-fast', metavar='FILE', help="make this .onnx file the model 'demo-fast' and stop"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    if args.name:
        from miqa.apis.zoo.packaged import card_text, model_card, packaged_folder

        if args.json:
            print(json.dumps(model_card(), indent=2))
        else:
            text, _, authors = card_text().partition('\n## Authors')
            print(text)
            if authors:
                print(f'The authors of the photographs are listed in {packaged_folder() / "card.md"}.')
        return 0
    from miqa.apis import zoo
    from miqa.apis.zoo.catalogue import demo_path
    from miqa.outside.user_folders import HOME_VARIABLE, user_cache
    from miqa.running.requirements import in_a_clone

    if args.register_demo:
        print(f'The model `demo` is now {args.register_demo}, copied to {zoo.register_demo(args.register_demo)}.')
        return 0
    if args.register_demo_fast:
        place = zoo.register_demo_fast(args.register_demo_fast)
        print(f'The model `demo-fast` is now {args.register_demo_fast}, copied to {place}.')
        return 0
    entries = zoo.list_models(args.task, args.label, args.method)
    if args.json:
        print(json.dumps([zoo.as_dict(entry) for entry in entries], indent=2))
        return 0
    rows = [('method', 'task', 'label', 'SRCC', 'PLCC', 'here')]
    for entry in entries:
        figures = ('-' if value is None else f'{value:.4f}' for value in (entry.srcc, entry.plcc))
        state = 'yes' if entry.path.is_file() else ''
        rows.append((entry.preprocessing.title, entry.task, entry.label, *figures, state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(
        f'{PACKAGED_NAME}, the default, is in the package and needs no download. Its card: miqa models '
        f'{PACKAGED_NAME}\n\nModels of the paper, fetched at first use:'
    )
    for row in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    demo = demo_path(task=args.task)
    state = (
        f'is at {demo}' if demo.is_file() else f'is trained by {in_a_clone("bash tools/quickstart.sh", quoted=True)}'
    )
    print(
        f'\nScores are raw regression values, nominally 0 to 1, higher is better. SRCC and PLCC are the figures of the '
        f'paper. The authors publish no checksums. Weights are kept in {user_cache()} (change it with '
        f'{HOME_VARIABLE}). The model `demo` {state}.'
    )
    return 0
