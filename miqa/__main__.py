"""The program ``miqa`` begins here; ``python -m miqa`` is the same."""

import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it in a line also before and after the command can see to that."""
    try:
        from .cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write('\nInterrupted.\n')
        sys.exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == '__main__':
    main()
