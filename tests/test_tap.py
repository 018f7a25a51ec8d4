"""
Tests for the C{--session} options of C{twistd web}, as they are parsed and as the
service that they make.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import MultiService
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.python import usage
from twisted.spread.pb import PBServerFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import demo as twistedDemo  # noqa: N812 - ours is txsessions.demo
from twisted.web import server, static
from twisted.web import tap as twistedTap  # noqa: N812 - ours is tap
from twisted.web.resource import Resource

from txsessions import Site, tap
from txsessions._tap_service import addSessions
from txsessions.demo import Demo


class Root(Resource):
    """
    Something for C{--class}.
    """


ROOT = f"--class={__name__}.Root"


class TwistdOptions(usage.Options):
    """
    As much of C{twistd}'s options as C{web} looks at.
    """

    optParameters = (
        ["rundir", "d", ".", "Where to run."],
        ["chroot", None, None, "What to take for the root."],
    )
    subCommands = (("web", None, tap.Options, "Serve."),)


def parse(*arguments):
    """
    Parse what stands after C{web}.
    """
    options = tap.Options()
    options.parseOptions(list(arguments))
    return options


def parseUnder(parent, *arguments):
    """
    Parse what stands after C{twistd}.
    """
    options = TwistdOptions()
    options.parseOptions([*parent, "web", *arguments])
    return options.subOptions


def factoriesOf(service):
    """
    List what a service serves, in the order of its ports.
    """
    return [s.factory for s in service if isinstance(s, StreamServerEndpointService)]


class OptionTests(SynchronousTestCase):
    """
    What is said on the command line.
    """

    def test_none(self):
        """
        Nothing is asked for unless it is asked for.
        """
        self.assertIsNone(parse().settings)
        self.assertIsNone(parse("--path=.").settings)

    def test_defaults(self):
        """
        C{--sessions} alone is a SQLite file here, and the hardened cookie.
        """
        settings = parse("--sessions").settings
        self.assertEqual(
            settings.store.address, f"sqlite:{os.path.abspath('sessions.sqlite')}"
        )
        self.assertEqual((settings.idle, settings.lifetime), (900.0, None))
        self.assertEqual(settings.cookies.nameFor(True), b"__Host-sid")
        self.assertEqual(settings.cookies.sameSite, "lax")
        self.assertEqual(settings.cookies.secure, "auto")
        self.assertIsNone(settings.keyFile)
        self.assertFalse(settings.strict)

    def test_storeImpliesSessions(self):
        """
        Whoever names a store wants sessions.
        """
        options = parse("--session-store=memory:")
        self.assertTrue(options["sessions"])
        self.assertEqual(options.settings.store.address, "memory:")

    def test_everything(self):
        """
        Each option arrives.
        """
        os.mkdir("keys")
        Path("keys/one").touch()
        settings = parse(
            "--session-store=sqlite:some.db",
            "--session-timeout=60",
            "--session-lifetime=3600.5",
            "--session-cookie=visit",
            "--session-samesite=none",
            "--session-secure=always",
            "--session-key-file=keys/one",
            "--session-durability=normal",
            "--session-strict",
        ).settings
        self.assertEqual(settings.store.address, f"sqlite:{os.path.abspath('some.db')}")
        self.assertEqual((settings.idle, settings.lifetime), (60.0, 3600.5))
        self.assertEqual(settings.cookies.secureName, b"__Host-visit")
        self.assertEqual(settings.cookies.insecureName, b"visit")
        self.assertEqual(settings.cookies.sameSite, "none")
        self.assertEqual(settings.cookies.secure, "always")
        self.assertEqual(settings.keyFile, os.path.abspath("keys/one"))
        self.assertNotEqual(
            settings.store.durability, parse("--sessions").settings.store.durability
        )
        self.assertTrue(settings.strict)

    def test_cookiePrefix(self):
        """
        The prefix of the secure cookie may be given, and stays off the other.
        """
        cookies = parse("--sessions", "--session-cookie=__Host-visit").settings.cookies
        self.assertEqual(cookies.secureName, b"__Host-visit")
        self.assertEqual(cookies.insecureName, b"visit")

    def test_wrongValues(self):
        """
        What is wrong is answered by one line that says what is right.
        """
        for arguments, expected in [
            (["--session-timeout=soon"], "--session-timeout must be a number of sec"),
            (["--session-timeout=0"], "such as 900; found '0'"),
            (["--session-timeout=nan"], "found 'nan'"),
            (["--session-timeout=1e400"], "found '1e400'"),
            (["--session-timeout="], "found ''"),
            (["--session-lifetime=-1"], "--session-lifetime must be a number of sec"),
            (["--session-cookie=a b"], "--session-cookie must be one or more ASCII"),
            (["--session-cookie="], "found ''"),
            (["--session-cookie=\N{SNOWMAN}"], "found '\N{SNOWMAN}'"),
            (["--session-samesite=maybe"], "must be lax, strict or none; found 'mayb"),
            (["--session-samesite=none"], "needs --session-secure always"),
            (["--session-secure=yes"], "must be auto, always or never; found 'yes'"),
            (["--session-durability=low"], "must be full or normal; found 'low'"),
            (["--session-store="], "sqlite:PATH"),
            (["--session-store=sqlite:"], "sqlite:PATH"),
            (["--session-store=sessions.sqlite"], "sqlite:PATH"),
            (["--session-store=mysql:x"], "sqlite:PATH"),
            (["--session-store=sqlite:x?y=1"], "sqlite:PATH"),
            (["--session-key-file=nothing"], "must be a file that is there already"),
            (
                ["--session-store=memory:", "--session-durability=full"],
                "--session-durability is for sqlite:PATH",
            ),
            (
                ["--session-store=redis://:secret@127.0.0.1/"],
                "--session-key-file is needed with redis://127.0.0.1",
            ),
            (
                ["--session-store=postgresql://me:secret@127.0.0.1/db"],
                "python -m txsessions.keys new PATH",
            ),
        ]:
            error = self.assertRaises(usage.UsageError, parse, "--sessions", *arguments)
            self.assertIn(expected, str(error))
            self.assertNotIn("\n", str(error))
            self.assertNotIn("secret", str(error))

    def test_sharedStores(self):
        """
        Stores on servers are made, and told what they are sealed with.
        """
        Path("shared.key").touch()
        for address in "redis://127.0.0.1/0", "postgresql://127.0.0.1/db":
            options = f"--session-store={address}", "--session-key-file=shared.key"
            settings = parse(*options).settings
            self.assertTrue(settings.store.address.startswith(address[:8]))
            self.assertEqual(settings.keyFile, os.path.abspath("shared.key"))

    def test_withoutSessions(self):
        """
        An option that would have no effect is refused.
        """
        for option in [
            "--session-timeout=60",
            "--session-lifetime=60",
            "--session-cookie=visit",
            "--session-samesite=strict",
            "--session-secure=never",
            "--session-key-file=keys",
            "--session-durability=full",
            "--session-strict",
        ]:
            error = self.assertRaises(usage.UsageError, parse, option)
            self.assertEqual(
                str(error), f"{option.split('=')[0]} needs --sessions as well"
            )

    def test_underTwistd(self):
        """
        C{twistd} is left with a message, since it answers a L{usage.UsageError}
        with all of its help, and in some releases exits with 0.
        """
        error = self.assertRaises(
            SystemExit, parseUnder, [], "--sessions", "--session-secure=yes"
        )
        self.assertEqual(
            error.code,
            "web: --session-secure must be auto, always or never; found 'yes'",
        )
        twisteds = self.assertRaises(
            usage.UsageError, parseUnder, [], "--index=x", "--processor=x"
        )
        self.assertIn("--processor", str(twisteds))

    def test_runDirectory(self):
        """
        Relative paths are in the directory that C{twistd} goes to, also inside
        another root.
        """
        for parent, expected in [
            ([], os.getcwd()),
            (["--rundir=/srv/site"], "/srv/site"),
            (["--rundir=site"], os.path.abspath("site")),
            (["--chroot=/jail"], "/"),
            (["--chroot=/jail", "--rundir=/site"], "/site"),
            (["--chroot=/jail", "--rundir=site"], "/site"),
        ]:
            self.patch(os.path, "isfile", os.path.join(expected, "k").__eq__)
            settings = parseUnder(
                parent, "--session-store=sqlite:s.db", "--session-key-file=k"
            ).settings
            self.assertEqual(
                settings.store.address, f"sqlite:{os.path.join(expected, 's.db')}"
            )
            self.assertEqual(settings.keyFile, os.path.join(expected, "k"))

    def test_absolutePath(self):
        """
        An absolute path stays, and so does one in somebody's home.
        """
        keys = os.path.abspath("absolute.key")
        Path(keys).touch()
        settings = parseUnder(
            ["--rundir=/srv"],
            "--session-store=sqlite:/var/s.db",
            f"--session-key-file={keys}",
        ).settings
        self.assertEqual(settings.store.address, "sqlite:/var/s.db")
        self.assertEqual(settings.keyFile, keys)
        settings = parseUnder(["--rundir=/srv"], "--session-store=sqlite:~/s").settings
        self.assertEqual(settings.store.address, f"sqlite:{os.path.expanduser('~/s')}")

    def test_help(self):
        """
        Each option has its help.
        """
        for option in [*tap.Options.optFlags, *tap.Options.optParameters]:
            self.assertTrue(option[-1].endswith((".", "]")), option)

    def test_shellCompletion(self):
        """
        Shells complete our options, their words, and Twisted's.
        """
        options = tap.Options()
        options._shellCompFile = BytesIO()
        self.assertRaises(
            SystemExit, options.parseOptions, ["--s", "--_shell-completion", "zsh:1"]
        )
        completion = options._shellCompFile.getvalue().decode()
        self.assertIn("--session-samesite=[", completion)
        self.assertIn("(lax strict none)", completion)
        self.assertIn("--logfile=[", completion)


class UntouchedTests(SynchronousTestCase):
    """
    Without C{--sessions} the command is Twisted's.
    """

    def describe(self, value, depth=4):
        """
        Take a service apart, to compare it with another.
        """
        if depth == 0 or isinstance(value, (str, bytes, int, float, type(None))):
            return value if isinstance(value, (str, bytes, int)) else type(value)
        if isinstance(value, (list, tuple)):
            return [self.describe(one, depth - 1) for one in value]
        kind = type(value)
        if kind.__module__.split(".")[0] in ("twisted", "tests", "txsessions"):
            return kind, {
                k: self.describe(v, depth - 1)
                for k, v in getattr(value, "__dict__", {}).items()
                if k not in ("reactor", "_reactor", "parent")
            }
        return kind

    def test_sameService(self):
        """
        The same options make the same service.
        """
        for arguments in [
            [],
            ["--path=.", "--index=a", "--index=b", "--mime-type=text/x"],
            [ROOT, "--logfile=web.log", "--display-tracebacks"],
            [ROOT, "--listen=tcp:1", "--listen=unix:/x", "--add-header=A: b"],
            [ROOT, "--personal"],
            ["--user"],
        ]:
            ours = parse(*arguments)
            twisteds = twistedTap.Options()
            twisteds.parseOptions(arguments)
            self.assertEqual(
                self.describe(tap.makeService(ours)),
                self.describe(twistedTap.makeService(twisteds)),
            )

    def test_demo(self):
        """
        Without a root it is still Twisted's own demonstration.
        """
        (site,) = factoriesOf(tap.makeService(parse()))
        self.assertIs(type(site), server.Site)
        self.assertIsInstance(site.resource, twistedDemo.Test)

    def test_foreignOptions(self):
        """
        Options of Twisted's own class do.
        """
        options = twistedTap.Options()
        options.parseOptions([ROOT])
        (site,) = factoriesOf(tap.makeService(options))
        self.assertIs(type(site), server.Site)


class ServiceTests(SynchronousTestCase):
    """
    The service that C{--sessions} makes.
    """

    def make(self, *arguments):
        """
        Make the service with sessions in memory.
        """
        return tap.makeService(parse("--session-store=memory:", *arguments))

    def test_site(self):
        """
        The site is ours, with what the options said about sessions.
        """
        options = parse(
            "--session-store=memory:",
            "--session-timeout=60",
            "--session-lifetime=600",
            ROOT,
        )
        (site,) = factoriesOf(tap.makeService(options))
        self.assertIsInstance(site, Site)
        self.assertIsInstance(site.resource, Root)
        self.assertIs(site.cookies, options.settings.cookies)
        self.assertIs(site._live.store, options.settings.store)
        self.assertEqual(site.sessionFactory.sessionTimeout, 60.0)
        self.assertEqual(site.sessionFactory.sessionLifetime, 600.0)

    def test_demo(self):
        """
        Without a root it is our demonstration, with one it is not.
        """
        (site,) = factoriesOf(self.make())
        self.assertIsInstance(site.resource, Demo)
        (site,) = factoriesOf(self.make("--path=."))
        self.assertIsInstance(site.resource, static.File)

    def test_twistedsSettings(self):
        """
        Whatever Twisted sets on a site is set on ours: a new release that sets
        more is found out here.
        """
        for arguments in [
            [ROOT],
            [ROOT, "--logfile=web.log"],
            [ROOT, "--display-tracebacks"],
            ["--path=.", "--add-header=A: b"],
        ]:
            (theirs,) = factoriesOf(tap.makeService(parse(*arguments)))
            (ours,) = factoriesOf(self.make(*arguments))
            kept = {"resource", "sessions", "reactor", "requestFactory"}
            for name in set(vars(theirs)) - kept:
                self.assertEqual(
                    getattr(ours, name), getattr(theirs, name), f"{arguments} {name}"
                )
            self.assertIs(type(ours.resource), type(theirs.resource))

    def test_ports(self):
        """
        All ports share one site, whatever they are.
        """
        service = self.make(ROOT, "--listen=tcp:1", "--listen=unix:/x")
        one, two = factoriesOf(service)
        self.assertIs(one, two)
        tcp, unix = (
            s.endpoint for s in service if isinstance(s, StreamServerEndpointService)
        )
        self.assertIsInstance(tcp, endpoints.TCP4ServerEndpoint)
        self.assertIsInstance(unix, endpoints.UNIXServerEndpoint)

    def test_personal(self):
        """
        What C{--personal} publishes is our site; since no port starts it, the
        service does.
        """
        service = self.make(ROOT, "--personal")
        (factory,) = factoriesOf(service)
        self.assertIsInstance(factory, PBServerFactory)
        site = factory.root.site
        self.assertIsInstance(site, Site)
        start = list(service)[-1]
        start.startService()
        self.assertTrue(site._live.lifecycle.isOpen)
        self.successResultOf(start.stopService())
        self.assertFalse(site._live.lifecycle.isOpen)

    def test_stops(self):
        """
        The service has stopped when all is saved and the store is closed; it may be
        started again.
        """
        service = self.make(ROOT)
        (site,) = factoriesOf(service)
        start = list(service)[-1]
        start.startService()
        session = site.makeSession()
        session["a"] = 1
        store = site._live.store
        order, done = [], Deferred()
        insert, close = store.insert, store.close

        def slowly(*args):
            order.append("insert")
            return done.addCallback(lambda _: insert(*args))

        def closing():
            order.append("close")
            return close()

        store.insert, store.close = slowly, closing
        stopped = start.stopService()
        self.assertNoResult(stopped)
        self.assertEqual(order, ["insert"])
        done.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(order, ["insert", "close"])
        start.startService()
        self.assertTrue(site._live.lifecycle.isOpen)
        self.successResultOf(start.stopService())

    def test_opensLate(self):
        """
        When a port listens, Twisted's part is done, once; the store is opened
        when the service starts, and closed when it stops, as its ports are.
        """
        service = self.make(ROOT, "--logfile=late.log")
        (site,) = factoriesOf(service)
        site.doStart()
        site.doStart()
        log = site.logFile
        self.assertFalse(site._live.lifecycle.isOpen)
        start = list(service)[-1]
        start.startService()
        self.assertTrue(site._live.lifecycle.isOpen)
        self.assertIs(site.logFile, log)
        self.successResultOf(start.stopService())
        self.assertFalse(site._live.lifecycle.isOpen)
        site.doStop()
        site.doStop()
        site.doStart()
        self.assertIsNot(site.logFile, log)
        site.doStop()

    def test_inWords(self):
        """
        The log is told the limits, the cookie, and where the keys are.
        """
        Path("some.key").touch()
        for arguments, expected in [
            (
                [],
                f"keys that seal them are in {os.path.abspath('sessions.sqlite.key')}",
            ),
            (["--session-key-file=some.key"], f"in {os.path.abspath('some.key')}"),
            (["--session-store=memory:"], "are random, and end with this process"),
            (["--session-timeout=60"], "after 60 s unused and after 43200 s at the"),
            (["--session-timeout=86400"], "86400 s unused and after 86400 s at the"),
            ([], "cookie is __Host-sid over TLS and sid else, SameSite=Lax;"),
            (["--session-secure=always"], "cookie is __Host-sid, SameSite=Lax;"),
            (["--session-secure=never"], "cookie is sid, SameSite=Lax;"),
        ]:
            settings = parse("--sessions", *arguments).settings
            self.assertIn(expected, settings.inWords())

    def test_noSite(self):
        """
        If Twisted should ever make something else, that is said at once: a
        server without the sessions that were asked for is no answer.
        """
        service = MultiService()
        StreamServerEndpointService(None, Factory()).setServiceParent(service)
        settings = parse("--sessions").settings
        error = self.assertRaises(RuntimeError, addSessions, service, settings)
        self.assertIn("no twisted.web.server.Site", str(error))
