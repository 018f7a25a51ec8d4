"""
What an attacker has to know of a site: its addresses, its forms, and who is who.

Owns the descriptions, and nothing that is done with them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
from attrs import Factory, field, frozen


@frozen(kw_only=True)
class Form:
    """
    A form that changes something.

    @ivar action: Where it is sent to.
    @ivar fields: Its fields, as the first of the people would send them.  C{PROBE} in a
        value stands for what the attack makes up.
    """

    action: str
    fields: dict[str, str] = field(factory=dict, repr=False)

    def filled(self, probe):
        """
        The fields with what the attack makes up.
        """
        return {
            name: said.replace("PROBE", probe) for name, said in self.fields.items()
        }


@frozen(kw_only=True)
class Devices:
    """
    The page on which people end their sessions one by one.

    @ivar page: Where it is.
    @ivar action: Where its form is sent to.
    @ivar field: The field that has the handle of a session.
    """

    page: str
    action: str
    field: str


@frozen(kw_only=True)
class Target:
    """
    A site.

    @ivar home: A page that shows who is signed in, with the form to sign out.
    @ivar shown: A regular expression that finds the name there.
    @ivar login: The page with the form to sign in.
    @ivar signIn: Where that form is sent to.
    @ivar user: The field for the name.
    @ivar password: The field for the password, or L{None} if nobody asks for one.
    @ivar people: At least two who can sign in, and their passwords.
    @ivar signOut: Where the form to sign out is sent to.
    @ivar token: The field of the token against forged requests.
    @ivar cookies: What the session's cookie is called over HTTP and over TLS.
    @ivar back: The field and argument for the address to go back to, or L{None}.
    @ivar remember: The field to stay signed in with, or L{None}.
    @ivar pages: All pages that there are.
    @ivar forms: Forms beside those to sign in and out.
    @ivar devices: Where sessions are listed, or L{None}.
    """

    home: str
    shown: str
    login: str
    signIn: str
    user: str
    password: str | None = None
    people: dict[str, str] = field(repr=False)
    signOut: str
    token: str = "csrf_token"
    cookies: tuple[str, str] = field(default=("sid", "__Host-sid"), converter=tuple)
    back: str | None = None
    remember: str | None = None
    pages: list[str]
    forms: list[Form] = Factory(list)
    devices: Devices | None = None

    def cookieName(self, secure):
        """
        What the session's cookie is called.
        """
        return self.cookies[bool(secure)]

    def whoIn(self, text):
        """
        Find out whom a page takes its visitor for.

        @return: The name, or L{None}.
        """
        found = re.search(self.shown, text)
        return found[1] if found else None


DEMO = Target(
    home="/",
    shown=r'id="signed-in">([^<]+)<',
    login="/",
    signIn="/sign-in",
    user="user",
    people={"ann": "", "bob": ""},
    signOut="/sign-out",
    pages=["/", "/signed-out", "/style.css", "/icon.svg", "/sign-in", "/nowhere"],
    forms=[Form(action="/name", fields={"name": "PROBE"})],
)
"""The demonstration that C{twistd web --sessions} serves."""

LOGIN = Target(
    home="/",
    shown=r'id="signed-in">([^<]+)<',
    login="/login",
    signIn="/login",
    user="username",
    password="password",
    people={"ann": "correct-horse", "bob": "battery-staple"},
    signOut="/logout",
    back="next",
    remember="remember",
    pages=["/", "/login", "/logout", "/devices", "/password", "/style.css", "/nowhere"],
    forms=[Form(action="/password", fields={"new": "correct-horse"})],
    devices=Devices(page="/devices", action="/devices", field="end"),
)
"""C{examples/login.py}."""

TARGETS = {"demo": DEMO, "login": LOGIN}
"""The descriptions that need not be written."""


def readTarget(name):
    """
    Find a description.

    @param name: One of L{TARGETS}, or the path of a JSON file.
    @raise ValueError: There is none, or it describes no site.
    """
    if name in TARGETS:
        return TARGETS[name]
    try:
        said = json.loads(Path(name).read_text())
        if said.get("devices"):
            said["devices"] = Devices(**said["devices"])
        said["forms"] = [Form(**each) for each in said.get("forms", [])]
        target = Target(**said)
        re.compile(target.shown)
    except (OSError, ValueError, TypeError, AttributeError, re.error) as error:
        raise ValueError(
            f"{name!r} is neither one of {', '.join(TARGETS)} nor a JSON file that "
            f"describes a site: {error}"
        ) from error
    return target


def fieldsOf(kind):
    """
    The names of what a description may have, for those who write one.
    """
    return [each.name for each in attrs.fields(kind)]
