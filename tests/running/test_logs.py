"""A log that cannot be written costs a sentence, not a traceback for every record."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from miqa.running.logs import report_once


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='only Linux has a device that is always full')
def test_a_full_disk_is_reported_once_and_other_handlers_stay_as_they_are(capsys):
    before = logging.Handler.handleError
    logger = logging.Logger('of a run')
    logger.addHandler(logging.FileHandler('/dev/full'))
    logger.handlers[0].setLevel(logging.WARNING)
    report_once(report_once(logger))
    for _ in range(3):
        logger.warning('Epoch 1')
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('/dev/full cannot be written, so that messages are missing there: ')
    assert logger.handlers[0].level == logging.WARNING
    assert logging.Handler.handleError is before


def test_a_log_whose_reader_has_gone_ends_the_command_quietly():
    program = (
        'import sys\nfrom miqa.running.command_line import run_command\nfrom miqa.running.logs import log\n'
        'def main():\n    sys.stdin.read()\n    log("Indexed 3 samples.")\nrun_command(main)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == b''
    assert process.wait() == 141
