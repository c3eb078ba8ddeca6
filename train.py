#!/usr/bin/env python
"""The line of the paper's README, ``python train.py ...``; the same as ``miqa train``."""

from miqa.train import command

if __name__ == '__main__':
    command()
