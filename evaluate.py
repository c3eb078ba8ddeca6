#!/usr/bin/env python
"""The line of the paper's README, ``python evaluate.py ...``; the same as ``miqa test``."""

from miqa.test import command

if __name__ == '__main__':
    command()
