"""Command line frame: errors as sentences, clean exit of workers, no half-written files."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import hashlib
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from miqa.errors import MIQAError
from miqa.outside.addresses import redact_users
from miqa.outside.names import printable, printable_text
from miqa.outside.user_folders import keep_caches_of_libraries
from miqa.taxonomy import did_you_mean

from .requirements import explained, in_checkout
from .surroundings import cause_in_surroundings, open_streams

#: Message of resumable commands after an interruption.
SAME_AGAIN = 'What is finished is kept; the same command goes on from there.'

#: Variable that names a folder which processes of one run share, so that one says what all would say.
SAID_FOLDER = 'MIQA_SAID'

# What PyTorch says where processes that compute together lose one another.
_LOST = re.compile(r'gloo|NCCL|(Connection|Broken pipe).*(peer|closed|reset)|TCPStore')
# Whoever does not end by then is ended.
_SECONDS_FOR_CHILDREN, _SECONDS_FOR_ALL = 5, 20


def sentence(parse: Callable) -> Callable:
    """Let argparse print the ValueError of ``parse``, the ``type`` of an option, instead of a sentence of its own."""

    @functools.wraps(parse)
    def checked(text: str):
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def whole_number(least: int, also: Callable[[int], bool] = lambda _: False) -> Callable[[str], int]:
    """Return the ``type`` of an option that takes whole numbers from ``least`` on, and those for which ``also`` holds.

    Libraries refuse others, too, but only where they are used: after hours of work.
    """

    def number(text: str) -> int:
        value = int(text) if re.fullmatch(r'-?\d{1,18}', text) else None
        if value is None or not (value >= least or also(value)):
            raise ValueError(f'a whole number from {least} on, not {text!r}')
        return value

    return sentence(number)


#: The ``type`` of an option for a number of processes; below 0, as joblib has it: -1 for one per core, -2 for one less.
process_count = whole_number(1, lambda value: value < 0)


def share(text: str) -> float:
    """Read the value of an option that is a share, between 0 and 1; as ``type=sentence(share)``."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ValueError(f'a share between 0 and 1, such as 0.2, not {text!r}')
    return value


class SuggestingParser(argparse.ArgumentParser):
    """A parser that suggests the nearest option for one that is unknown, of its sub-commands too.

    A ``~`` at the beginning of a value means the home folder also where the shell has left it as it is, as in
    ``--out=~/scores.csv``, unless there is a file of that very name.
    """

    _dashed: str | None = None
    _words: Sequence[str] = ()

    def parse_known_args(self, args=None, namespace=None):
        """Parse as argparse does."""
        words = [_home_expanded(word) for word in (sys.argv[1:] if args is None else args)]
        files = (word for word in words if word.startswith('-') and word != '-' and os.path.lexists(word))
        self._dashed = next(files, None)
        self._words = words
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit with 2."""
        if self._dashed is not None:
            message = f'{message}. A file whose name begins with a dash is given as ./{printable(self._dashed)}'
        missing = message.startswith('the following arguments are required')
        words = [word.partition('=')[0] for word in (self._words if missing else message.split())]
        options = self._all_options()
        # An option may be written by its beginning.
        unknown = [
            word for word in words if re.match(r'--\w', word) and not any(each.startswith(word) for each in options)
        ]
        if missing and unknown:
            message = f'unrecognized arguments: {" ".join(unknown)}'
        if message.startswith('unrecognized arguments') and unknown:
            hints = (did_you_mean(word, options) for word in unknown)
            message = f'{message}.{next(filter(None, hints), "")}'
        elif choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            options = [word.strip().strip("'") for word in choice[2].split(',')]
            message += f'.{did_you_mean(choice[1], options)}' if did_you_mean(choice[1], options) else ''
        parser = self._chosen()
        parser._print_message(parser._short_usage(), sys.stderr)
        self.exit(2, f'{parser.prog}: error: {message}\nFor all options, add --help.\n')

    def _short_usage(self) -> str:
        """Return the usage with what must be given, without a dozen lines of options."""
        groups = [group for group in self._mutually_exclusive_groups if group.required]
        needed = {id(action) for group in groups for action in group._group_actions}
        actions = [each for each in self._actions if each.required or not each.option_strings or id(each) in needed]
        formatter = self.formatter_class(prog=f'{self.prog} [options]')
        formatter.add_usage(None, actions, groups)
        return formatter.format_help()

    def _chosen(self) -> SuggestingParser:
        """Return the parser of the sub-command that is named on the command line; without one, this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for place, word in enumerate(self._words):
                    if isinstance(parser := action.choices.get(word), SuggestingParser):
                        parser._words = self._words[place + 1 :]
                        return parser._chosen()
        return self

    def _print_message(self, message: str, file=None) -> None:
        if file is not sys.stdout:
            super()._print_message(message, file)
        elif message:
            # argparse would pass over a full disk.
            file.write(message)

    def _all_options(self) -> list[str]:
        return [name for action in self._chosen()._actions for name in action.option_strings]


def _home_expanded(word: str) -> str:
    option, equals, value = word.partition('=') if word.startswith('--') else ('', '', word)
    if not value.startswith('~') or os.path.lexists(value.partition('/')[0]):
        return word
    return f'{option}{equals}{os.path.expanduser(value)}'  # noqa: PTH111  names are not changed


class ConfigOptions(argparse.Action):
    """Takes ``key.sub=value ...``, as MMEngine's ``DictAction``, and says in a sentence what is not of that form."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Put a dict of dotted keys into the namespace."""
        from mmengine.config import DictAction

        for word in values:
            key, equals, _ = word.partition('=')
            if not equals or not all(key.split('.')):
                parser.error(f'{option_string} {word}: each is written as key=value or key.sub=value, without spaces.')
        try:
            DictAction([option_string], self.dest)(parser, namespace, values, option_string)
        except (AssertionError, ValueError, SyntaxError, RecursionError) as error:
            parser.error(f'{option_string} {" ".join(values)}: {error or "brackets do not match"}.')


class ToolParser(SuggestingParser):
    """Parser of the tools: description and examples as they are written, and ``--data-root DIR`` everywhere.

    Where a tool's first argument is the database, ``--data-root DIR`` (or ``--data_root``) says the same.
    """

    def __init__(self, **options):
        super().__init__(**{'formatter_class': argparse.RawDescriptionHelpFormatter, **options})

    def _all_options(self) -> list[str]:
        return [*super()._all_options(), '--data-root']

    def parse_known_args(self, args=None, namespace=None):
        """Parse as argparse does; the option becomes the first argument where that is ``data_root``."""
        words = list(sys.argv[1:] if args is None else args)
        places = [action.dest for action in self._get_positional_actions()]
        if places[:1] == ['data_root']:
            for place, word in enumerate(words):
                name, equals, value = word.partition('=')
                if name in ('--data-root', '--data_root') and (equals or place + 1 < len(words)):
                    value = value if equals else words[place + 1]
                    words[place : place + (1 if equals else 2)] = []
                    words.insert(0, value)
                    break
        return super().parse_known_args(words, namespace)


def as_typed(*options: str, words: Sequence[str] | None = None) -> str:
    """Return some options of this process's command line as the user typed them, for advice that repeats them.

    ``options`` are all spellings that count, such as ``--data-root`` and ``--data_root``. The result is text for a
    shell, with a space before each word; empty where none was given.
    """
    values, taking = [], False
    for word in sys.argv[1:] if words is None else words:
        if word.startswith('--'):
            taking = word.partition('=')[0] in options
        if taking:
            values.append(f' {shlex.quote(word)}')
    return ''.join(values)


_PYTHONS = warnings.formatwarning


class Interruption(KeyboardInterrupt):
    """The process was asked to end, by Ctrl-C, SIGTERM or SIGHUP."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__()
        self.number = number


def run_command(main: Callable[[], int | None], go_on: str | Callable[[], str] = '') -> None:
    """Run ``main``; print an expected error as one sentence and exit with status 1.

    On Ctrl-C, SIGTERM and a closed terminal all processes that it started end too, temporary files are removed, and it
    exits with 130, 143 or 129 and ``go_on``. Where the reader of the output is gone (``| head -1``), it ends quietly
    with 141.

    Set ``MIQA_TRACEBACK=1`` to see where an error came from. Errors that no input of the user's can cause keep
    their traceback.

    Args:
        main: the command; may return an exit status.
        go_on: how to resume after an interruption, such as :data:`SAME_AGAIN`; or a function that returns it.
    """
    open_streams()
    keep_caches_of_libraries()
    warnings.formatwarning = _as_sentence
    # Pillow's, about pictures below the limit that was asked before.
    warnings.filterwarnings('ignore', r'Image size \(\d+ pixels\) exceeds limit')
    if getattr(sys.stdout, 'errors', '') == 'strict' and hasattr(sys.stdout, 'reconfigure'):
        # A name that the terminal's encoding lacks ends no command.
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        with _ending_together():
            try:
                status = main()
            except SystemExit:  # as --help ends
                sys.stdout.flush()
                raise
            sys.stdout.flush()
        if status:
            sys.exit(status)
    except KeyboardInterrupt as error:
        number = getattr(error, 'number', signal.SIGINT)
        how = 'Interrupted' if number == signal.SIGINT else f'Stopped by {signal.Signals(number).name}'
        text = go_on() if callable(go_on) else go_on
        # Of several processes that train together, one speaks, and not where another's error, said already, ended it.
        first = os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'
        if first and not (number == signal.SIGTERM and _was_reported()):
            with contextlib.suppress(OSError):  # the terminal may be gone
                print(f'\n{how}. {text}'.rstrip(' '), file=sys.stderr)
        sys.exit(128 + number)
    except BrokenPipeError:
        _end_unread()
    except (MIQAError, ValueError, KeyError, OSError, ImportError) as error:
        if _traceback_wanted():
            raise
        _say_surroundings(error)
        text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and text.startswith('[Errno'):
            # A stream, which does not say its name.
            _drop_output()
            reason = os.strerror(error.errno or 0)
            text = f'{error.filename or "The output"} cannot be written: {reason}. Make room first.'
        if isinstance(error, ModuleNotFoundError):
            text = explained(error)
        if 'tools/' in text and not in_checkout() and 'clone' not in text:
            text = f'{text.rstrip(".")}. The folder tools/ comes with a clone of the repository, not with a wheel.'
        if first_to_say(text):
            # A file's name may hold what a terminal would obey.
            print(
                f'Error: {redact_users(printable_text(text))}\n(Set MIQA_TRACEBACK=1 to see where it happened.)',
                file=sys.stderr,
            )
        sys.exit(1)
    except (RuntimeError, AttributeError, TypeError, OverflowError, MemoryError) as error:
        _say_surroundings(error)
        lines = str(error).splitlines() or ['']
        lost = isinstance(error, RuntimeError) and _LOST.search(lines[0])
        if _traceback_wanted() or os.environ.get('WORLD_SIZE', '1') == '1' or not lost:
            raise
        # Whoever ended first has said why.
        if first_to_say(_LOST.pattern):
            print('Error: another process of this run has ended, and this one ends with it.', file=sys.stderr)
        sys.exit(1)


def _as_sentence(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return this project's warnings without the line of code that gave them; those of libraries as Python has them."""
    if category.__module__.partition('.')[0] != 'miqa' and not Path(filename).is_relative_to(Path(__file__).parents[1]):
        return _PYTHONS(message, category, filename, lineno, line)
    return f'Warning: {printable_text(str(message))}\n'


def _traceback_wanted() -> bool:
    return os.environ.get('MIQA_TRACEBACK', '').strip().lower() not in ('', '0', 'false', 'no', 'off')


def _say_surroundings(error: Exception) -> None:
    """Exit with a sentence where an error comes from the user's surroundings."""
    text = None if _traceback_wanted() else cause_in_surroundings(error)
    if text is None:
        return
    if first_to_say(text):
        print(f'Error: {text}\n(Set MIQA_TRACEBACK=1 to see where it happened.)', file=sys.stderr)
    sys.exit(1)


def first_to_say(text: str) -> bool:
    """Return True if no other process of this run has said ``text``: eight processes need not report one missing file.

    They share the folder that :data:`SAID_FOLDER` names; without it every process speaks for itself.
    """
    folder = os.environ.get(SAID_FOLDER)
    if not folder:
        return True
    try:
        (Path(folder) / hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()).touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def _was_reported() -> bool:
    """Return True if a process of this run has said an error, see :func:`first_to_say`."""
    folder = os.environ.get(SAID_FOLDER)
    return folder is not None and any(Path(folder).glob('*'))


def _end_unread() -> None:
    """Exit as programs do whose reader has gone away, without Python's complaint when it closes the stream."""
    _drop_output()
    sys.exit(128 + signal.SIGPIPE)


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that Python does not complain when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _ending_together() -> Iterator[None]:
    """Raise :class:`Interruption` at Ctrl-C, SIGTERM and SIGHUP, once the processes that this one started have ended.

    Whatever a library makes of it on the way, such as an error of its own or nothing at all, it leaves as Interruption.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    signals: list[int] = []

    owner = os.getpid()

    def end(number: int, _) -> None:
        if number not in (signal.SIGINT, signal.SIGTERM) and os.getpid() != owner:
            os._exit(128 + number)  # of a process that was forked from this one
        signals.append(number)
        # A second Ctrl-C does not wait for anything.
        for each in before:
            signal.signal(each, lambda signal_number, _: os._exit(128 + signal_number))
        # PyTorch's loaders would raise their own error for every worker that ends. (Without a handler, Python complains
        # of a worker that ended at this very moment.)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        last = threading.Timer(_SECONDS_FOR_ALL, os._exit, (128 + number,))
        last.daemon = True
        last.start()
        end_children()
        raise Interruption(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    # A terminal that is closed; `nohup` has it ignored.
    if hasattr(signal, 'SIGHUP') and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if signals:
                raise Interruption(signals[0]) from error
            raise
        if signals:
            raise Interruption(signals[0])
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


def end_children() -> None:
    """End all processes that this one started, and those that they started: politely, then firmly."""
    import psutil

    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            # These end by themselves when this process does, and clean up after it.
            if not any('resource_tracker' in word for word in child.cmdline()):
                children.append(child)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=_SECONDS_FOR_CHILDREN)
    for child in alive:
        with contextlib.suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(alive, timeout=1)
