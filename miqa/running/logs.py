"""Log handlers that report a failing log once."""

from __future__ import annotations

import contextlib
import logging
import sys

_reported: set[str] = set()


class _ReportsOnce(logging.Handler):
    """A handler that prints one sentence where ``logging`` prints a traceback for every record."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Print to stderr, once for each log, that it cannot be written; a closed pipe ends the command.

        Raises:
            BrokenPipeError: the output is no longer read.
        """
        error = sys.exc_info()[1]
        if isinstance(error, BrokenPipeError):
            raise error
        location = getattr(self, 'baseFilename', None) or getattr(getattr(self, 'stream', None), 'name', 'the log')
        text = f'{location} cannot be written, so that messages are missing there: {error}'
        if text not in _reported:
            _reported.add(text)
            with contextlib.suppress(OSError, ValueError):
                print(text, file=sys.stderr)


class LogFile(_ReportsOnce, logging.FileHandler):
    """A log file."""


class LogStream(_ReportsOnce, logging.StreamHandler):
    """A stream that is logged to, such as the screen."""


def report_once(logger: logging.Logger) -> logging.Logger:
    """Replace a logger's plain file and stream handlers by handlers that report a failing log once.

    Args:
        logger: such as one of MMEngine's; its handlers' levels, formats and filters are kept.

    Returns:
        The same logger.
    """
    for place, handler in enumerate(logger.handlers):
        if type(handler) is logging.FileHandler:
            handler.close()
            ours: logging.Handler = LogFile(handler.baseFilename, 'a', handler.encoding)
        elif type(handler) is logging.StreamHandler:
            ours = LogStream(handler.stream)
        else:
            continue
        ours.setLevel(handler.level)
        ours.setFormatter(handler.formatter)
        ours.filters = handler.filters
        logger.handlers[place] = ours
    return logger


def log(message: str, level: int = logging.INFO) -> None:
    """Log a message to MMEngine's current logger: that of the run, or the screen where no run has begun."""
    from mmengine.logging import MMLogger

    report_once(MMLogger.get_current_instance()).log(level, message)
