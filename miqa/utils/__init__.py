"""Small things that every stage may use and that know nothing of any stage."""

from .files import atomic_write, keep_previous, sha256_of_file, write_json
from .images import UnreadableImage, read_image
from .randomness import generator_for
from .requirements import require

__all__ = [
    'UnreadableImage',
    'atomic_write',
    'generator_for',
    'keep_previous',
    'read_image',
    'require',
    'sha256_of_file',
    'write_json',
]
