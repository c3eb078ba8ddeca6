"""Gradio, imported so that it calls nobody and fails on no proxy."""

from __future__ import annotations

import os
from types import ModuleType

from miqa.running import require

from .listening import without_proxies

#: Older ones let a request read files of the server.
OLDEST_GRADIO = (6, 16)


def import_gradio() -> ModuleType:
    """Import Gradio with everything switched off that would call out.

    Raises:
        ImportError: it is not installed or too old; the message says how to install it.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    with without_proxies():
        gradio = require('gradio', 'The page')
    if tuple(int(part) for part in gradio.__version__.split('.')[:2]) < OLDEST_GRADIO:
        wanted = '.'.join(map(str, OLDEST_GRADIO))
        raise ImportError(
            f'The page needs Gradio {wanted} or newer, not {gradio.__version__}, whose uploads are not safe: '
            f"pip install -U 'gradio>={wanted},<7'"
        )
    return gradio
