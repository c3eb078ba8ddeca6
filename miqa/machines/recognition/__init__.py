"""Recognise how a network file is used, from the file and from pictures."""

from .conventions import CONVENTIONS, Convention
from .file_metadata import FileMetadata, metadata_of
from .machine_file import machine_from_file
from .readings import Reading, UnclearLayout
from .recognised import RecognisedMachine, write_machine_config
from .trials import TrialPicture

__all__ = [
    'CONVENTIONS',
    'Convention',
    'FileMetadata',
    'Reading',
    'RecognisedMachine',
    'TrialPicture',
    'UnclearLayout',
    'machine_from_file',
    'metadata_of',
    'write_machine_config',
]
