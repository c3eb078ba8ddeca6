#!/usr/bin/env python
"""Train a quality model; the same as ``miqa train``."""

from miqa.train import command

if __name__ == '__main__':
    command()
