"""Suffixes of picture files."""

from __future__ import annotations

#: Suffixes of the files that are taken from a folder, whatever their case. A file that is named is always taken.
IMAGE_SUFFIXES = frozenset(
    ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.gif', '.ppm')
    + ('.pgm', '.pbm', '.pnm', '.pfm', '.jp2', '.j2k', '.jpf', '.jpx', '.j2c', '.avif', '.avifs', '.ico', '.mpo')
    + ('.heic', '.heif', '.hif')
)
#: Pictures that are taken from a folder as well, although they cannot be read: the message says what to do.
UNREAD_SUFFIXES = frozenset(
    ('.jxl', '.dng', '.cr2', '.cr3', '.crw', '.nef', '.nrw', '.arw', '.sr2', '.srf', '.rw2', '.orf', '.raf', '.pef')
    + ('.srw', '.3fr', '.iiq', '.x3f', '.psd', '.exr', '.hdr', '.tga', '.qoi')
)
