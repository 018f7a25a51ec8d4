"""
The attack from a terminal: C{python -m tests.attacks URL [URL]}.
"""

from __future__ import annotations

import argparse
import sys
import textwrap

from tests.attacks.client import Place, Unusable
from tests.attacks.scene import Scene
from tests.attacks.table import ATTACKS, BROKEN, HELD, NOT_TRIED, checkScene, tryOne
from tests.attacks.target import TARGETS, Devices, Form, Target, fieldsOf, readTarget

WIDTH = 100
"""How wide the table is."""


def _indented(text, columns):
    """
    Break a text into lines that begin further right.
    """
    blank = " " * columns
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=blank,
        subsequent_indent=blank,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


ABOUT = """
Attacks a site that signs people in, from outside, as a hostile client: ids that were
planted, cookies that contradict one another, forged forms, ids after the sign-out,
addresses that lead away, and more. Prints what was tried, what happened, and whether
the site held. Attack only what is yours: it signs in, sends wrong passwords until it is
refused, and leaves its traces in the log.
"""

MORE = f"""
how to begin, here with the demonstration:
  twistd -n web --sessions --listen tcp:8080:interface=127.0.0.1 &
  python -m tests.attacks http://127.0.0.1:8080

  With an address of either scheme, http:// and then https://, of one and the same site,
  ids are also carried from one to the other; what has to do with no scheme, and takes
  long, is tried by the last address only.

a site of your own:
  --target takes a JSON file with
{_indented(", ".join(fieldsOf(Target)), 6)}
  of which each of "forms" has {", ".join(fieldsOf(Form))}, and "devices", if there is
  such a page, {", ".join(fieldsOf(Devices))}. What each one is stands in
  tests/attacks/target.py, with descriptions of {" and ".join(TARGETS)}.

once more:
  The last attack sends wrong passwords until the site has enough of it. Until that is
  forgotten there, or the site is started again, people may be unable to sign in, and the
  exit status is 2.

the exit status:
  0  the site held
  1  something is BROKEN
  2  the site does not answer, or is not as it was described
"""


def readArguments(words):
    """
    Read the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.attacks",
        description=ABOUT,
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "addresses",
        nargs="*",
        metavar="URL",
        type=_place,
        help="where the site listens, http://HOST:PORT or https://HOST:PORT; "
        "certificates are not looked at",
    )
    parser.add_argument(
        "--target",
        default="demo",
        type=_target,
        help=f"what is there: {', '.join(TARGETS)}, or a JSON file [default: demo]",
    )
    parser.add_argument(
        "--log", metavar="FILE", help="what the server writes, to be searched for ids"
    )
    parser.add_argument(
        "--only",
        metavar="WORD",
        default="",
        help="only attacks with this in their name, such as fixation",
    )
    parser.add_argument("--list", action="store_true", help="say what would be tried")
    arguments = parser.parse_args(words)
    if not arguments.addresses and not arguments.list:
        parser.error("it takes the address of a site, such as http://127.0.0.1:8080")
    return arguments


def _place(word):
    """
    Read an address.
    """
    try:
        return Place.parse(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _target(word):
    """
    Read a description.
    """
    try:
        return readTarget(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def scenes(arguments):
    """
    The site by each of its addresses.
    """
    places = arguments.addresses
    for place in places:
        others = [each for each in places if each.secure != place.secure]
        other = others[0] if others else None
        yield Scene(arguments.target, place, other, arguments.log)


def show(outcomes):
    """
    Print what came of one attack, by each address.
    """
    attack = outcomes[0].attack
    print(f"{attack.name}\n{_indented(attack.tried, 4)}")
    same = {}
    for each in outcomes:
        same.setdefault((each.verdict, each.happened), []).append(each.scheme)
    for (verdict, happened), schemes in same.items():
        head = f"    {verdict:9}  {', '.join(schemes):11}  "
        print(head + _indented(happened, len(head)).lstrip())
    sys.stdout.flush()


def main(words=None):
    """
    Attack.

    @return: The exit status.
    """
    arguments = readArguments(words)
    attacks = [each for each in ATTACKS if arguments.only in each.name]
    if arguments.list:
        for attack in attacks:
            print(f"{attack.name}\n{_indented(attack.tried, 4)}")
        return 0
    verdicts = []
    try:
        all_ = list(scenes(arguments))
        for scene in all_:
            checkScene(scene)
        for attack in attacks:
            here = all_[-1:] if attack.once else all_
            outcomes = [tryOne(attack, scene) for scene in here]
            verdicts += [each.verdict for each in outcomes]
            show(outcomes)
    except Unusable as error:
        print(f"the site cannot be attacked: {error}", file=sys.stderr)
        return 2
    count = {each: verdicts.count(each) for each in (HELD, BROKEN, NOT_TRIED)}
    print(f"\n{', '.join(f'{number} {name}' for name, number in count.items())}")
    return 1 if count[BROKEN] else 0


if __name__ == "__main__":
    sys.exit(main())
