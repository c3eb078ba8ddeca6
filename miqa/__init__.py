"""MIQA: how well will machine vision models do on this image?"""

__version__ = '0.3.0'
