"""Photographs that Python packages ship, and the demo database of the quickstart that is made of them."""

from .package_photos import PackagePhoto, installed_photos

__all__ = ['PackagePhoto', 'installed_photos']
