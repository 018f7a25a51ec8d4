"""
The command lines of the long runs.

Owns how they read what stands behind their names, and what they say of it: each takes a
few words in a fixed order, all of which may be left out.
"""

from __future__ import annotations

import argparse
import sys


def oneOf(names, *, address=False):
    """
    Make a reader of a word that is one of a few.

    @param address: Whether the address of a store will do as well.
    """
    says = f"one of {', '.join(names)}"
    if address:
        says += ", or the address of a store that runs already"

    def read(word):
        if word in names or (address and ":" in word):
            return word
        raise argparse.ArgumentTypeError(f"expected {says}; found {word!r}")

    read.says = says
    return read


def count(word):
    """
    Read how often something is done.
    """
    if not word.isdigit() or not int(word):
        raise argparse.ArgumentTypeError(f"expected a whole number, found {word!r}")
    return int(word)


def share(word):
    """
    Read how much of something is done.
    """
    try:
        part = float(word)
    except ValueError:
        part = 0.0
    if not part > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {word!r}")
    return part


def given(description, **arguments):
    """
    Read the command line of the module that is run.

    @param description: What it does.
    @param arguments: For each word its default, its reader, and what it is.
    @return: The words, read; those that are missing by their defaults.
    """
    module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog="Exit status: 0 if all was as promised, 1 if something was not.",
    )
    for name, (default, read, help_) in arguments.items():
        says = getattr(read, "says", "")
        parser.add_argument(
            name,
            nargs="?",
            metavar=name.upper(),
            type=read,
            default=default,
            help="; ".join(filter(None, (help_, says)))
            + ("" if default in {None, ""} else " [default: %(default)s]"),
        )
    return vars(parser.parse_args()).values()


__all__ = ["count", "given", "oneOf", "share"]
