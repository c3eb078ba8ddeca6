"""How a command ends when something is wrong: with a sentence, not with a stack of calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def run_command(main: Callable[[], None]) -> None:
    """Run ``main``; print an expected error as one sentence and exit with status 1, Ctrl-C with 130.

    Set ``MIQA_TRACEBACK=1`` to see where an error came from. Errors that no input of the user's can cause keep
    their traceback.
    """
    try:
        main()
    except KeyboardInterrupt:
        print('Interrupted.', file=sys.stderr)
        sys.exit(130)
    except (ValueError, KeyError, OSError, ImportError) as error:
        if os.environ.get('MIQA_TRACEBACK'):
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f'Error: {text}\n(Set MIQA_TRACEBACK=1 to see where it happened.)', file=sys.stderr)
        sys.exit(1)
