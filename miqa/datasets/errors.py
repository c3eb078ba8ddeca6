"""The one kind of error that a wrong database raises."""

from miqa.utils import MIQAError


class DatabaseError(MIQAError, ValueError):
    """The database on disk is not as it should be. The message names the file and, where there is one, the row."""


def shorten(items, limit: int = 5) -> str:
    """Join up to ``limit`` items by commas and say how many more there are."""
    items = list(items)
    more = f' and {len(items) - limit} more' if len(items) > limit else ''
    return ', '.join(map(str, items[:limit])) + more
