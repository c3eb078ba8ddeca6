"""External input: opening files, addresses, fetching, walking, tables, JSON, checkpoints, configs."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .regular_files import (
        NotARegularFile,
        check_regular,
        copy_regular,
        open_regular,
        read_regular,
        read_regular_text,
    )

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
