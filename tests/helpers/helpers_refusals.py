"""One line for what a call must refuse."""

import pytest


def refused(error, words, function, /, *arguments, **options) -> Exception:
    """Check that ``function(*arguments, **options)`` raises this error with these words; return the error.

    Words are a pattern, and empty where any will do.

    Arguments are made before the call: an error of theirs is not taken for the refusal.
    """
    __tracebackhide__ = True
    with pytest.raises(error, match=words or None) as caught:
        function(*arguments, **options)
    return caught.value
