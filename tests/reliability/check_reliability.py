#!/usr/bin/env python
"""Kill, starve and mislead the commands on a small database, and compare what they leave with an undisturbed run.

A few pictures are made up, and every step runs on them once undisturbed. Then each step is disturbed again and again:

  kill       SIGKILL to the command and all of its workers at random moments, then the same command to its end
  full disk  the output on a disk that is too small, then with room (needs root: a small tmpfs is mounted)
  read-only  the output on a disk that cannot be written, then on one that can (needs root, as above)
  vanished   an input file disappears while the command runs, then it is back

A try passes if the command that ran to its end leaves the same contents as the undisturbed run and no temporary file or
lock, and if the disturbed one ended with a sentence, not with a traceback. Where root is needed and not there, the
fault is skipped and listed as such.

Examples:
  python tests/reliability/check_reliability.py --tries 3
  python tests/reliability/check_reliability.py --steps distort train --faults kill --tries 20 --out reliability.json
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reliability_commands import Command
from reliability_contents import contents_of
from reliability_inputs import STEPS, Step, make_inputs

from miqa.keeping import write_json
from miqa.running.command_line import ToolParser, run_command

FAULTS = ('kill', 'full disk', 'read-only', 'vanished')
#: Room on the disk that is too small (once to four times), and size of the one with room, in bytes.
_SMALL, _LARGE = 16 << 10, 64 << 20
#: Kills in one try.
MOST_KILLS = 3
#: Seconds after which a command is said to hang.
_LONGEST = 900


@dataclass
class Result:
    """What came of all tries of one fault on one step."""

    step: str
    fault: str
    tries: int = 0
    passed: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: str = ''


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--steps', nargs='+', choices=STEPS, default=list(STEPS), help='default: all')
    parser.add_argument('--faults', nargs='+', choices=FAULTS, default=list(FAULTS), help='default: all')
    parser.add_argument('--tries', type=int, default=3, metavar='N', help='of each fault on each step (default: 3)')
    parser.add_argument('--seed', type=int, default=0, help='of the moments (default: 0)')
    parser.add_argument(
        '--cold', action='store_true', help='start every command in an interpreter of its own: slower, mostly imports'
    )
    parser.add_argument('--work', type=Path, help='folder to work in (default: a temporary one)')
    parser.add_argument('--out', type=Path, help='also write the results as JSON')
    return parser.parse_args(arguments)


def run(words: list[str], work: Path, cold: bool) -> tuple[int, str]:
    """Run a command to its end and return its exit status and what it said.

    Raises:
        RuntimeError: it does not end.
    """
    command = Command(words, work, cold)
    ended = command.finish(_LONGEST)
    if ended is None:
        command.kill()
        raise RuntimeError(f'{" ".join(words)} has not ended after {_LONGEST} seconds.')
    return ended


def check_reliability(
    steps: list[str],
    faults: list[str],
    tries: int,
    seed: int,
    work: Path,
    cold: bool = False,
    report: Callable[[str], object] = print,
) -> list[Result]:
    """Disturb steps and return what came of it; the arguments are those of the command line.

    Raises:
        RuntimeError: an undisturbed step fails.
    """
    rng = random.Random(seed)  # noqa: S311  moments, not secrets
    results, reference = [], work / 'reference'
    make_inputs(work)
    target = [STEPS[name] for name in steps]
    for step in STEPS.values():
        if not any(step.name == other.name or step.name in needed(other) for other in target):
            continue
        began = time.monotonic()
        status, output = run(step.words(work, reference), work, cold)
        seconds = time.monotonic() - began
        if status:
            raise RuntimeError(f'{step.name} fails undisturbed:\n{output[-3000:]}')
        if step not in target:
            continue
        expected = contents_of(reference / step.output)
        for fault in faults:
            result = Result(step.name, fault)
            results.append(result)
            if fault in ('full disk', 'read-only') and (os.geteuid() or not shutil.which('mount')):
                result.skipped = 'needs root, to mount a small disk'
                continue
            if fault == 'vanished' and not step.reads:
                result.skipped = 'reads no file that may vanish'
                continue
            for number in range(tries):
                folder = work / f'try-{step.name}-{fault.replace(" ", "-")}-{number}'
                problem = _TRIES[fault](Try(step, work, folder, seconds, rng, expected, cold))
                result.tries += 1
                result.passed += not problem
                if problem:
                    result.problems.append(problem)
                shutil.rmtree(folder, ignore_errors=True)
            report(f'{step.name}, {fault}: {result.passed} of {result.tries} {"; ".join(result.problems)[:300]}')
    return results


def needed(step: Step) -> set[str]:
    """Return the steps whose results a step builds on, and those that these build on."""
    actual = set(step.after)
    for name in step.after:
        actual |= needed(STEPS[name])
    return actual


@dataclass
class Try:
    """One disturbed run of a step, and the run after it that goes to the end.

    Attributes:
        step: what is run.
        work: folder of what all tries share.
        folder: of this one.
        seconds: how long the step takes undisturbed.
        rng: decides when and what.
        expected: contents that an undisturbed run leaves.
        cold: commands start in interpreters of their own.
    """

    step: Step
    work: Path
    folder: Path
    seconds: float
    rng: random.Random
    expected: dict[str, str]
    cold: bool = False

    def start(self, again: bool = False) -> Command:
        """Start the step."""
        return Command(self.step.words(self.work, self.folder, again), self.work, self.cold)

    def run(self, again: bool = False) -> tuple[int, str]:
        """Run the step to its end."""
        return run(self.step.words(self.work, self.folder, again), self.work, self.cold)

    def judged(self) -> str:
        """Run the step to its end and return what is wrong with what it leaves, or an empty text."""
        return judge(self.step, self.folder, self.expected, *self.run(again=True))


def _kill(this: Try) -> str:
    this.step.prepare(this.work, this.folder)
    for number in range(MOST_KILLS):
        command = this.start(again=number > 0)
        # Cold, the first half of an undisturbed run is imports.
        ended = command.finish(this.rng.uniform(0.4 if this.cold else 0, 1.3) * this.seconds)
        if ended:
            return judge(this.step, this.folder, this.expected, *ended)
        command.kill()
    return this.judged()


def _full_disk(this: Try) -> str:
    room = this.rng.randint(1, 4) * _SMALL
    return _on_disk(this, lambda used: f'size={used + room}', f'remount,size={_LARGE}')


def _read_only(this: Try) -> str:
    return _on_disk(this, lambda used: f'ro,size={_LARGE}', f'remount,rw,size={_LARGE}')


def _on_disk(this: Try, first: Callable[[int], str], then: str) -> str:
    """Run a step whose output lies on a disk of its own, that is bad first and good then."""
    with _mounted(this.folder) as mount:
        this.step.prepare(this.work, this.folder)
        mount(f'remount,{first(shutil.disk_usage(this.folder).used)}')
        status, output = this.run()
        if 'Traceback' in output:
            return f'a traceback: {output[-300:]}'
        elsewhere = this.step.has_refuge and first(0).startswith('ro')
        if elsewhere:
            return f'ended with {status}: {output[-300:]}' if status else ''
        if not status and contents_of(this.folder / this.step.output) != this.expected:
            return 'said that all went well'
        mount(then)
        return this.judged()


@contextlib.contextmanager
def _mounted(folder: Path) -> Iterator[Callable[[str], object]]:
    folder.mkdir(parents=True, exist_ok=True)

    def mount(options: str) -> None:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)], check=True)

    mount(f'size={_LARGE}')
    try:
        yield mount
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


def _vanished(this: Try) -> str:
    this.step.prepare(this.work, this.folder)
    victim = this.rng.choice(this.step.inputs(this.work, this.folder))
    away = victim.with_name(f'.away-{victim.name}')
    command = this.start()
    time.sleep(this.rng.uniform(0, 0.8) * this.seconds)
    victim.rename(away)
    try:
        ended = command.finish(_LONGEST)
    finally:
        away.rename(victim)
    if ended is None:
        command.kill()
        return 'hangs'
    if 'Traceback' in ended[1]:
        return f'a traceback: {ended[1][-300:]}'
    return this.judged()


def judge(step: Step, folder: Path, expected, status: int, said: str) -> str:
    """Return what is wrong with the result of a command that ran to its end, or an empty text."""
    if 'Traceback' in said:
        return f'a traceback: {said[-300:]}'
    if status:
        return f'ended with {status}: {said[-300:]}'
    actual = contents_of(folder / step.output)
    if actual != expected:
        names = sorted(name for name in {*actual, *expected} if actual.get(name) != expected.get(name))
        return f'other contents: {", ".join(names[:5])}'
    left = [str(path) for path in folder.rglob('.*') if path.suffix in ('.lock', '.owner') or '.part' in path.name]
    return f'left {", ".join(left[:5])}' if left else ''


_TRIES = {'kill': _kill, 'full disk': _full_disk, 'read-only': _read_only, 'vanished': _vanished}


def print_table(results: list[Result], stream=sys.stdout) -> None:
    """Print a Markdown table: one row a step, one column a fault, tries that passed of all."""
    faults = list(dict.fromkeys(result.fault for result in results))
    writer = csv.writer(stream, delimiter='|', lineterminator='\n')
    writer.writerow(['step', *faults])
    writer.writerow(['---'] * (len(faults) + 1))
    for step in dict.fromkeys(result.step for result in results):
        cells = {result.fault: result for result in results if result.step == step}
        row = [f'{cells[f].passed} of {cells[f].tries}' if not cells[f].skipped else '-' for f in faults]
        writer.writerow([step, *row])


def main() -> int:
    """Disturb the steps; 1 if a try failed."""
    args = parse_arguments()
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='miqa_reliability_')))
        results = check_reliability(args.steps, args.faults, args.tries, args.seed, work.absolute(), args.cold)
    print_table(results)
    for result in results:
        if result.skipped:
            print(f'{result.step}, {result.fault}: skipped, {result.skipped}', file=sys.stderr)
        for problem in result.problems:
            print(f'{result.step}, {result.fault}: {problem}', file=sys.stderr)
    if args.out:
        write_json(args.out, {'results': [vars(result) for result in results]})
    return int(any(result.problems for result in results))


if __name__ == '__main__':
    run_command(main)
