"""External input: opening files, addresses, fetching, walking, tables, JSON, checkpoints, configs."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from .regular_files import (
        NotARegularFile,
        check_regular,
        copy_regular,
        open_regular,
        read_regular,
        read_regular_text,
    )

#: Public names and their modules, imported when they are first used.
_HOMES = {
    'NotARegularFile': 'regular_files',
    'check_regular': 'regular_files',
    'copy_regular': 'regular_files',
    'open_regular': 'regular_files',
    'read_regular': 'regular_files',
    'read_regular_text': 'regular_files',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
