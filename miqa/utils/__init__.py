"""Small things that every stage may use and that know nothing of any stage."""

from typing import TYPE_CHECKING

from .lazy import lazy_names

if TYPE_CHECKING:  # as type checkers do not see what is imported when it is asked for
    from .errors import CheckpointError, MIQAError, MissingPackage, WeightsUnavailable
    from .files import atomic_write, keep_previous, sha256_of_file, write_json
    from .images import UnreadableImage, read_image
    from .locks import InUse, only_writer
    from .randomness import generator_for
    from .regular_files import (
        NotARegularFile,
        check_regular,
        copy_regular,
        open_regular,
        read_regular,
        read_regular_text,
    )
    from .requirements import require
    from .sealed import DamagedFile
    from .temporaries import sweep

#: Public names and their modules, imported when they are first asked for.
_HOMES = {
    'CheckpointError': 'errors',
    'DamagedFile': 'sealed',
    'InUse': 'locks',
    'MIQAError': 'errors',
    'MissingPackage': 'errors',
    'NotARegularFile': 'regular_files',
    'UnreadableImage': 'images',
    'WeightsUnavailable': 'errors',
    'atomic_write': 'files',
    'check_regular': 'regular_files',
    'copy_regular': 'regular_files',
    'generator_for': 'randomness',
    'keep_previous': 'files',
    'only_writer': 'locks',
    'open_regular': 'regular_files',
    'read_image': 'images',
    'read_regular': 'regular_files',
    'read_regular_text': 'regular_files',
    'require': 'requirements',
    'sha256_of_file': 'files',
    'sweep': 'temporaries',
    'write_json': 'files',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
