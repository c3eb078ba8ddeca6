"""MIQA: how well will machine vision models do on this image?"""

from . import moved

__version__ = '0.2.0'

moved.install()
