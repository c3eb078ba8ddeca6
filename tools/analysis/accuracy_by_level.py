#!/usr/bin/env python
"""Show how the accuracy of machines falls with the level of each distortion: a table and a plot.

Examples:
  python tools/analysis/accuracy_by_level.py data/demo --task cls
  python tools/analysis/accuracy_by_level.py data/mine --task det --score consistency --out figures/

Reads what run_machines.py and make_labels.py left in the database; nothing is run again. Only versions with the same
level everywhere count. A rise from one level to the next is reported: more distortion should not help.
"""

from pathlib import Path

from miqa.keeping import atomic_write
from miqa.labelling import read_classes
from miqa.layout import ground_truth_path
from miqa.reports.accuracy_by_level import SCORES, clean_accuracy, level_plot, mean_table, rises, scores_by_level
from miqa.reports.plots import save_figure
from miqa.running.command_line import ToolParser, run_command
from miqa.taxonomy import TASKS


def main() -> None:
    """Print the table, save it and the plot."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('data_root', help='the database')
    parser.add_argument('--task', required=True, choices=TASKS)
    parser.add_argument('--label', '--score', dest='score', choices=SCORES, default='accuracy')
    parser.add_argument('--out', default='work_dirs/accuracy_by_level', help='folder of the table and the plot')
    args = parser.parse_args()
    rows = scores_by_level(args.data_root, args.task)
    clean = None
    if args.task == 'cls' and args.score == 'accuracy':
        clean = clean_accuracy(args.data_root, read_classes(ground_truth_path(args.data_root, 'cls')))
        for machine, value in clean.items():
            print(f'{machine}: {value:.3f} on the clean images')
    table = mean_table(rows, args.score)
    print(f'\n{args.score} by level, mean over {rows["machine"].nunique()} machines and {rows["images"].max()} images')
    print(table.round(3).to_string())
    for sentence in rises(table):
        print(f'rises: {sentence}')
    out = Path(args.out)
    with atomic_write(out / f'{args.score}.csv') as temporary:
        rows.to_csv(temporary, index=False)
    save_figure(level_plot(rows, clean, args.score), out / f'{args.score}.png')
    print(f'\n{out / args.score}.csv and .png')


if __name__ == '__main__':
    run_command(main)
