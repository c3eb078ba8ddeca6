"""``python -m miqa`` is the command ``miqa``."""

from miqa.apis.commands.cli import main

if __name__ == '__main__':
    main()
