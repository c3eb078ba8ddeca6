"""The page and the API documentation: two self-contained HTML files."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

#: One style and one script each, both in the file itself.
_INLINE = {kind: re.compile(rf'<{kind}>(.*?)</{kind}>'.encode(), re.DOTALL) for kind in ('script', 'style')}


def read_page(name: str) -> tuple[bytes, dict[str, str]]:
    """Return an HTML file of the folder ``templates``, and the headers to send with it.

    The Content-Security-Policy allows the file's own script and style, by their hashes, and connections to this
    server; nothing from elsewhere, and no frame around the page.
    """
    content = resources.files('miqa.serving').joinpath('templates').joinpath(name).read_bytes()
    hashes = {
        kind: ' '.join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in pattern.findall(content)
        ) or "'none'"
        for kind, pattern in _INLINE.items()
    }  # fmt: skip
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; img-src blob: data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return content, {
        'Content-Security-Policy': policy,
        'Permissions-Policy': 'camera=(self), microphone=(), geolocation=()',
        'X-Content-Type-Options': 'nosniff',
        'Referrer-Policy': 'no-referrer',
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Resource-Policy': 'same-origin',
        'Cache-Control': 'no-cache',
    }
