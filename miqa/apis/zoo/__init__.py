"""Models by name: catalogue, loading, and the Hub."""

from miqa.lazy import lazy_names

#: Public names and their modules, imported when they are first asked for.
_HOMES = {
    'ZooEntry': 'catalogue',
    'as_dict': 'catalogue',
    'demo_weights': 'catalogue',
    'entries': 'catalogue',
    'fetch': 'catalogue',
    'find': 'catalogue',
    'list_models': 'catalogue',
    'register_demo': 'register',
    'register_demo_fast': 'register',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
