#!/usr/bin/env python
"""Test a quality model; the same as ``miqa test``."""

from miqa.test import command

if __name__ == '__main__':
    command()
