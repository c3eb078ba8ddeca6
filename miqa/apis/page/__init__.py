"""A page to try it in the browser."""

from .desk import Desk, Limits

__all__ = ['Desk', 'Limits']
