"""How commands end, whatever libraries make of the signal on its way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_refusals import refused

from miqa.machines.answering import MachineFailed
from miqa.running.clusters import WorkerLost
from miqa.running.command_line import SAID_FOLDER, run_command

_SWALLOWED = {
    'turned into another error': "raise SyntaxError('Failed to format the config file')",
    'kept to itself': 'pass',
    'turned into an exit': 'sys.exit(1)',
}
_PROGRAM = """
import os, signal, sys, time
from miqa.running.command_line import SAME_AGAIN, run_command

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored by what nohup starts, this test included

def main():
    signal.signal(signal.SIGCHLD, lambda *_: None)  # as PyTorch's loaders have one
    both = [{number}, signal.SIGCHLD]  # a worker ends at the same moment
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, both)
        for each in both:
            os.kill(os.getpid(), each)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
        time.sleep(60)
    except:
        {reaction}

run_command(main, SAME_AGAIN)
"""


@pytest.mark.parametrize('reaction', _SWALLOWED.values(), ids=_SWALLOWED)
@pytest.mark.parametrize(('number', 'said'), [
    (signal.SIGINT, 'Interrupted.'), (signal.SIGTERM, 'Stopped by SIGTERM.'), (signal.SIGHUP, 'Stopped by SIGHUP.'),
])  # fmt: skip
def test_an_interruption_that_a_library_catches_still_ends_with_its_sentence(reaction, number, said):
    program = _PROGRAM.format(number=int(number), reaction=reaction)
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 128 + number
    assert ended.stderr == f'\n{said} What is finished is kept; the same command goes on from there.\n'


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='only Linux has a device that is always full')
@pytest.mark.parametrize('message', [[], ['--version'], ['image', '--help'], ['models']], ids=' '.join)
def test_output_that_cannot_be_printed_is_an_error(message):
    with open('/dev/full', 'w') as disk:
        ended = subprocess.run(
            [sys.executable, '-m', 'miqa', *message], stdout=disk, stderr=subprocess.PIPE, text=True, timeout=100
        )
    assert ended.returncode == 1 and ended.stderr.startswith('Error: The output cannot be written: No space left')


@pytest.mark.parametrize('kind', [MachineFailed, WorkerLost, ValueError])
def test_an_error_of_this_project_is_a_sentence_whatever_else_it_is_and_no_interruption(kind, capsys):
    def main():
        raise kind('it cannot')

    refused(SystemExit, '1', run_command, main, 'Go on.')
    output = capsys.readouterr().err
    assert output.startswith('Error: it cannot\n') and 'Go on.' not in output


@pytest.mark.parametrize(('value', 'traceback'), [('', 0), ('0', 0), ('False', 0), ('1', 1), ('yes', 1)])
def test_tracebacks_are_switched_on_and_off(value, traceback, monkeypatch, capsys):
    def main():
        raise ValueError('a fault')

    monkeypatch.setenv('MIQA_TRACEBACK', value)
    refused(ValueError if traceback else SystemExit, '', run_command, main)
    assert ('Error: a fault' in capsys.readouterr().err) is not bool(traceback)


def test_an_interruption_before_the_command_begins_is_a_line():
    program = (
        'import sys, miqa.__main__ as program\nclass Interrupt:\n    @staticmethod\n    def find_spec(*_):\n'
        '        raise KeyboardInterrupt\nsys.meta_path.insert(0, Interrupt)\nprogram.main()\n'
    )
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (130, '\nInterrupted.\n')


def test_a_process_that_is_stopped_because_of_anothers_error_says_no_more(tmp_path):
    program = (
        'import os, signal, time\nfrom miqa.running.command_line import first_to_say, run_command\n'
        'def main():\n    first_to_say("no such file")\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\n'
        'run_command(main, "Go on.")\n'
    )
    environment = {**os.environ, SAID_FOLDER: str(tmp_path), 'WORLD_SIZE': '2', 'RANK': '0'}
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (143, '')


@pytest.mark.parametrize(
    'said', ['[/gloo/transport/tcp/pair.cc:538] Read error [::1]:1: Connection reset by peer', 'NCCL error in: x.cpp:1']
)
def test_a_process_whose_partner_has_ended_says_so_and_no_more(said, monkeypatch, capsys):
    def main():
        raise RuntimeError(said)

    monkeypatch.setenv('WORLD_SIZE', '2')
    refused(SystemExit, '1', run_command, main)
    assert capsys.readouterr().err.startswith('Error: another process of this run has ended')
    monkeypatch.setenv('WORLD_SIZE', '1')
    refused(RuntimeError, '', run_command, main)


def test_warnings_of_this_project_are_a_sentence_and_those_of_others_are_as_python_has_them():
    program = (
        'import warnings\nfrom miqa.annotations.sizes import TurnedPictures\n'
        'from miqa.running.command_line import run_command\n'
        'def main():\n    warnings.warn("Two pictures are turned.", TurnedPictures)\n'
        '    warnings.warn("old", FutureWarning)\n'
        '    warnings.warn("Image size (9 pixels) exceeds limit of 8 pixels, ...")\n'
        'run_command(main)'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.stderr == 'Warning: Two pictures are turned.\n<string>:6: FutureWarning: old\n'
