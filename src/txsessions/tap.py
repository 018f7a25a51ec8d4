"""
C{twistd web --sessions} and C{twist web --sessions}.

Owns the C{--session} options of Twisted's own C{web} command, and their way into a
L{Site}.  Everything else about the command is Twisted's: what to serve, where to
listen, what to log; Twisted's makeService makes the service, also with
C{--sessions}.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn, cast

from twisted.application.service import MultiService
from twisted.python import usage
from twisted.web import tap

from txsessions import CookiePolicy, openStore
from txsessions._tap_proxies import proxyArguments
from txsessions._tap_service import SessionSettings, addSessions
from txsessions.core.lifetime import IDLE, validSeconds
from txsessions.demo import Demo
from txsessions.errors import AddressError, ConfigurationError
from txsessions.interfaces import ISessionStore
from txsessions.stores.address import GOOD_ADDRESSES
from txsessions.web.grammar import UNIX
from txsessions.web.keys import mustHaveKeys

DEFAULT_STORE = "sqlite:sessions.sqlite"
"""Where sessions are kept unless told otherwise."""

_HOST_PREFIX = "__Host-"

_CHOICES = {
    "session-samesite": ("lax", "strict", "none"),
    "session-secure": ("auto", "always", "never"),
    "session-proxy-header": ("x-forwarded", "forwarded", "proxy"),
    "session-durability": ("full", "normal"),
}


class Options(tap.Options):
    """
    The options of Twisted's C{web} command, and ours.

    @ivar settings: What was said about sessions; L{None} without C{--sessions}.
    """

    optFlags = [  # noqa: RUF012 - Twisted's way to declare options
        [
            "sessions",
            "",
            "Keep sessions across restarts and crashes. Without a root such as "
            "--path, serve a demonstration of them.",
        ],
        [
            "session-strict",
            "",
            "Refuse what cannot be kept with a session, instead of holding it in "
            "this process and saying so in the log.",
        ],
    ]

    optParameters: list[object] = [  # noqa: RUF012 - Twisted's way to declare options
        [
            "session-store",
            None,
            None,
            "Where sessions are kept: sqlite:PATH, relative to the run directory; "
            "redis://HOST or postgresql://HOST/DATABASE, where several machines "
            "share them; or memory:. Implies --sessions. "
            f"[default: {DEFAULT_STORE}]",
        ],
        [
            "session-timeout",
            None,
            None,
            f"Seconds after which an unused session ends. [default: {IDLE:.0f}]",
        ],
        [
            "session-lifetime",
            None,
            None,
            "Seconds after which a session ends however busy it is. [default: 12 "
            "hours, or the timeout if that is longer]",
        ],
        [
            "session-cookie",
            None,
            None,
            "Name of the session cookie. Over TLS it gets the prefix __Host-. "
            "[default: sid]",
        ],
        [
            "session-samesite",
            None,
            None,
            "Whether other sites' requests carry the cookie: lax, on following a "
            "link; strict, never; none, always. [default: lax]",
        ],
        [
            "session-secure",
            None,
            None,
            "When the cookie is for TLS only: auto, as the request came; always, as "
            "behind a proxy that ends TLS; never. [default: auto]",
        ],
        [
            "session-proxy-header",
            None,
            None,
            "What trusted proxies say it with: x-forwarded, X-Forwarded-For and "
            "X-Forwarded-Proto; forwarded, the Forwarded of RFC 7239; proxy, the PROXY "
            "protocol, on --listen haproxy:tcp:PORT. [default: x-forwarded]",
        ],
        [
            "session-key-file",
            None,
            None,
            "File with the keys that seal sessions, relative to the run directory; "
            "python -m txsessions.keys makes one. [default: beside the SQLite file, "
            "made on the first run]",
        ],
        [
            "session-durability",
            None,
            None,
            "What an answered request survives in SQLite: full, power loss; normal, "
            "the end of this process. Logouts are always full. [default: full]",
        ],
    ]

    compData = usage.Completions(
        optActions={
            "session-store": usage.CompleteList(
                [DEFAULT_STORE, "memory:", "redis://", "postgresql://"]
            ),
            "session-key-file": usage.CompleteFiles(),
            "session-trusted-proxy": usage.CompleteList(["127.0.0.1", "::1", UNIX]),
            **{name: usage.CompleteList(words) for name, words in _CHOICES.items()},
        },
        multiUse=["session-trusted-proxy"],
    )

    settings: SessionSettings | None = None

    def __init__(self) -> None:
        super().__init__()
        name = "session-trusted-proxy"
        self[name] = []
        # A docstring is shown with the blanks that it is written with.
        self.docs[name] = " ".join((self.docs[name] or "").split())

    def opt_session_trusted_proxy(self, address: str) -> None:
        """
        Address or network of a proxy, such as 127.0.0.1 or 10.0.0.0/8, or unix for
        whoever comes by a Unix socket: it is believed how a visitor came, over TLS or
        not, and from where. May be given several times. [default: nobody]
        """
        self["session-trusted-proxy"].append(address)

    def postOptions(self) -> None:
        """
        Check everything, Twisted's options and ours.

        @raise usage.UsageError: Something is wrong.
        @raise SystemExit: Something is wrong with ours, said to C{twistd} or
            C{twist}.
        """
        super().postOptions()
        if self["session-store"] is not None:
            self["sessions"] = 1
        try:
            if self["sessions"]:
                self.settings = self._settings()
            else:
                self._demandSessions()
        except ConfigurationError as error:
            _refuse(self, str(error))

    def _settings(self) -> SessionSettings:
        """
        Make what was said into values.

        @raise ConfigurationError: Something is wrong.
        """
        idle = self._seconds("session-timeout")
        lifetime = self._seconds("session-lifetime")
        store, keyFile = self._store(), self._keyFile()
        if keyFile is None and mustHaveKeys(store):
            raise ConfigurationError(
                f"--session-key-file is needed with {store.address}, for all who "
                "share it seal with the same keys: python -m txsessions.keys new PATH "
                "makes them, once"
            )
        return SessionSettings(
            store=store,
            cookies=self._cookies(),
            keyFile=keyFile,
            idle=IDLE if idle is None else idle,
            lifetime=lifetime,
            strict=bool(self["session-strict"]),
        )

    def _demandSessions(self) -> None:
        """
        Refuse options of sessions where there are none to be.
        """
        for name, value in self.items():
            if name.startswith("session-") and value:
                raise ConfigurationError(f"--{name} needs --sessions as well")

    def _store(self) -> ISessionStore:
        """
        Make the store.  A relative path means the directory that C{twistd} is
        going to run in.

        @raise ConfigurationError: Something is wrong with its address.
        """
        address: str | None = self["session-store"]
        if address is None:
            address = DEFAULT_STORE
        durability = self._choice("session-durability")
        scheme, colon, path = address.partition(":")
        given: dict[str, Any] = {} if durability is None else {"durability": durability}
        if scheme != "sqlite":
            if given:
                raise ConfigurationError(
                    "--session-durability is for sqlite:PATH; the store is "
                    f"{scheme}{colon}"
                )
        elif path and not path.startswith("?"):
            path = os.path.join(_runDirectory(self), os.path.expanduser(path))
            address = f"{scheme}:{path}"
        try:
            return openStore(address, **given)
        except AddressError as error:
            fault = str(error).splitlines()[0]
            forms = ", ".join(form for form, _ in GOOD_ADDRESSES)
            raise ConfigurationError(f"--session-store: {fault} {forms}") from error

    def _cookies(self) -> CookiePolicy:
        """
        Make the cookie policy.

        @raise ConfigurationError: Browsers would not take the cookie.
        """
        given: dict[str, Any] = {}
        name: str | None = self["session-cookie"]
        if name is not None:
            name = name.removeprefix(_HOST_PREFIX)
            given.update(insecureName=name, secureName=_HOST_PREFIX + name)
        sameSite = self._choice("session-samesite")
        if sameSite is not None:
            given["sameSite"] = sameSite
        secure = self._choice("session-secure")
        if secure is not None:
            given["secure"] = secure
        given.update(
            proxyArguments(
                self["session-trusted-proxy"],
                self._choice("session-proxy-header"),
                personal=bool(self["personal"]),
            )
        )
        if sameSite == "none" and secure != "always":
            raise ConfigurationError(
                "--session-samesite none needs --session-secure always, for browsers "
                "take such a cookie over TLS only"
            )
        try:
            return CookiePolicy(**given)
        except ConfigurationError as error:
            raise ConfigurationError(
                "--session-cookie must be one or more ASCII letters, digits or any of "
                f"!#$%&'*+-.^_`|~; found {name!r}"
            ) from error

    def _keyFile(self) -> str | None:
        """
        Find the key file that was named.  What is in it is looked at later, with
        the rights that the program will have then.

        @raise ConfigurationError: It is not there.
        """
        name: str | None = self["session-key-file"]
        if name is None:
            return None
        path = os.path.join(_runDirectory(self), name)
        if _parentOption(self, "chroot") is None and not os.path.isfile(path):
            raise ConfigurationError(
                "--session-key-file must be a file that is there already; there is "
                f"none at {path}. Without the option one is made beside the database"
            )
        return path

    def _choice(self, name: str) -> str | None:
        """
        Read an option that is one of a few words.

        @raise ConfigurationError: It is another one.
        """
        value: str | None = self[name]
        words = _CHOICES[name]
        if value is None or value in words:
            return value
        raise ConfigurationError(
            f"--{name} must be {', '.join(words[:-1])} or {words[-1]}; found {value!r}"
        )

    def _seconds(self, name: str) -> float | None:
        """
        Read an option that is a span of time.

        @raise ConfigurationError: It is not.
        """
        value: str | None = self[name]
        if value is None:
            return None
        try:
            return validSeconds(float(value), name)
        except ValueError as error:
            raise ConfigurationError(
                f"--{name} must be a number of seconds above zero, such as 900; "
                f"found {value!r}"
            ) from error


def _refuse(options: Options, message: str) -> NoReturn:
    """
    Say what is wrong with the command line.

    Under C{twistd} that is done here and now: it answers a C{UsageError} with a
    screenful of help, and releases before 25 then exit as if all were well.
    """
    if options.parent is None:
        raise usage.UsageError(message)
    raise SystemExit(f"web: {message}")


def _parentOption(options: Options, name: str) -> str | None:
    """
    Look at what was said before C{web}: C{twist} knows fewer options than
    C{twistd}, and a program that parses ours by itself has none.
    """
    value: str | None = None if options.parent is None else options.parent.get(name)
    return value


def _runDirectory(options: Options) -> str:
    """
    Say where the program is going to run.

    C{twistd} goes there after the service is made, and takes it for a directory
    inside its C{--chroot}; C{twist} stays where it is.
    """
    directory: str = _parentOption(options, "rundir") or "."
    if _parentOption(options, "chroot") is not None:
        return os.path.join("/", "" if directory == "." else directory)
    return os.path.abspath(directory)


def makeService(options: usage.Options) -> MultiService:
    """
    Make what Twisted's C{web} command makes, with durable sessions where they
    were asked for.

    @param options: The parsed options.
    """
    settings: SessionSettings | None = getattr(options, "settings", None)
    if settings is None:
        return cast(MultiService, tap.makeService(options))
    if not options["root"]:
        options["root"] = Demo()
    service = cast(MultiService, tap.makeService(options))
    addSessions(service, settings)
    return service


__all__ = ["DEFAULT_STORE", "Options", "makeService"]
