"""Writing files: atomically, by one writer, with checksums and versions."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .files import atomic_write, keep_previous, sha256_of_file, write_json
    from .locks import InUse, only_writer
    from .sealed import DamagedFile
    from .temporaries import sweep

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
