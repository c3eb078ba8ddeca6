"""The sub-commands of ``miqa``, one module each with ``add_parser(subparsers)``."""
