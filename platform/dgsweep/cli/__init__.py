"""The command line: parse, one call, print. Exit 0 done, 1 the work failed, 2 the input is wrong."""

from dgsweep.cli.app import main

__all__ = ["main"]
