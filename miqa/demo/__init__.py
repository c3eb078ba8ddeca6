"""The demo databases of the quickstart, made of photographs that Python packages ship."""

from miqa.pictures.package_photos import PackagePhoto, installed_photos

__all__ = ['PackagePhoto', 'installed_photos']
