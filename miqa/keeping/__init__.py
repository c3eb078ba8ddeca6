"""Writing files: atomically, by one writer, with checksums and versions."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from .files import atomic_write, keep_previous, sha256_of_file, write_json
    from .locks import InUse, only_writer
    from .sealed import DamagedFile
    from .temporaries import sweep

#: Public names and their modules, imported when they are first used.
_HOMES = {
    'DamagedFile': 'sealed',
    'InUse': 'locks',
    'atomic_write': 'files',
    'keep_previous': 'files',
    'only_writer': 'locks',
    'sha256_of_file': 'files',
    'sweep': 'temporaries',
    'write_json': 'files',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
