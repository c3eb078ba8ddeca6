"""Errors that a user may want to catch."""

from __future__ import annotations


class MIQAError(Exception):
    """Base of every error that a file, a weights file, a video, a camera or a database can cause.

    Its subclasses are also what they always were (:class:`OSError`, :class:`ValueError`, ...), so that
    ``except ValueError`` around an unreadable picture still works.
    """


class CheckpointError(MIQAError, ValueError):
    """Weights are damaged, unsafe to read, of another program, or do not fit the network."""


class WeightsUnavailable(MIQAError, OSError):
    """Weights are not there, cannot be fetched, or are not what they should be."""


class MissingPackage(MIQAError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""


class DatabaseError(MIQAError, ValueError):
    """The database on disk is not as it should be. The message names the file and, where there is one, the row."""


def shorten(items, limit: int = 5) -> str:
    """Join up to ``limit`` items by commas and say how many more there are."""
    items = list(items)
    more = f' and {len(items) - limit} more' if len(items) > limit else ''
    return ', '.join(map(str, items[:limit])) + more
