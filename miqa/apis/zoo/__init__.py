"""Models by name: catalogue, loading, and the Hub."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .catalogue import ZooEntry, as_dict, demo_weights, entries, fetch, find, list_models
    from .register import register_demo, register_demo_fast

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
