"""torchrun with readable errors: ``python -m miqa.running.torchrun ... SCRIPT``.

It takes torchrun's own options. An error that all processes have is said once, see :func:`miqa.running.command_line.
first_to_say`, and torchrun's tables and tracebacks about processes that ended are left out.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile

from .command_line import SAID_FOLDER


def main(arguments: list[str] | None = None) -> int:
    """Start the processes; returns the exit status of the first that failed, 128 + number after a signal."""
    # Read by torchrun when it is imported.
    os.environ.setdefault('LOGLEVEL', 'CRITICAL')
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix='miqa_said_') as folder:
        os.environ[SAID_FOLDER] = folder
        try:
            run.main(sys.argv[1:] if arguments is None else arguments)
        except ChildFailedError as error:
            rank, failed = min(error.failures.items(), key=lambda item: item[1].timestamp)
            status = failed.exitcode
            if status != 1:
                # Whoever ends by itself, with status 1, has said why.
                how = f'was ended by signal {-status}' if status < 0 else f'ended with status {status}'
                print(f'Process {rank} {how}; the others were stopped.', file=sys.stderr)
            return status if status > 0 else 128 - status
        except SignalException as error:
            return 128 + int(error.sigval)
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
