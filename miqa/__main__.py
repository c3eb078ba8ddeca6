"""``python -m miqa`` is the command ``miqa``."""

from .cli.main import main

if __name__ == '__main__':
    main()
