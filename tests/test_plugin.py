"""
Tests for the dropin: C{twistd web} and C{twist web} have our options, however
txsessions was installed and whatever C{dropin.cache} says.

Owns small environments of their own, made of links to the packages that run the
tests, so that wheels, editable installs and caches can be played through without
installing anything and without touching what others use.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import twisted
from twisted.trial.unittest import SynchronousTestCase

import txsessions
from tests._serving import PLUGIN, findPlugin, makeFolder, program

# What a search for C{web} comes to, without the time that imports take.
LOOK = """
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
print([p.module for p in getPlugins(IServiceMaker) if p.tapname == "web"])
"""

OURS = "['txsessions.tap']\n"
TWISTEDS = "['twisted.web.tap']\n"


class Environment:
    """
    A virtual environment with Twisted in it, and txsessions not yet.

    @ivar python: Its interpreter.
    @ivar packages: Its site-packages.
    """

    def __init__(self, path: Path) -> None:
        """
        @param path: Where to make it.
        """
        venv.EnvBuilder(symlinks=True, with_pip=False).create(path)
        self.path = path
        self.python = path / "bin" / "python"
        self.packages = next((path / "lib").glob("python*/site-packages"))
        folder = Path(twisted.__file__).parent
        for found in folder.parent.iterdir():
            if not re.match(r"twisted$|(__editable__)?_*txsessions", found.name):
                self._link(found, self.packages)
        (self.packages / "twisted").mkdir()
        for found in folder.iterdir():
            if found.name != "plugins":
                self._link(found, self.packages / "twisted")
        plugins = self.packages / "twisted" / "plugins"
        plugins.mkdir()
        for found in (folder / "plugins").glob("*.py"):
            if found.name != PLUGIN:
                shutil.copy2(found, plugins)

    def _link(self, found: Path, folder: Path) -> None:
        """
        Link to a file or directory of the environment that runs the tests.
        """
        (folder / found.name).symlink_to(found)

    def run(self, *arguments: str, mayWrite: bool = True) -> str:
        """
        Run a Python program of this environment.

        @param mayWrite: Whether it can write files.
        @return: What it said, errors too.
        """
        limit = "" if mayWrite else "ulimit -f 0; "
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            ["sh", "-c", f'{limit}exec "$@"', "sh", str(self.python), "-B", *arguments],
            cwd=self.path,
            env=kept,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def look(self, mayWrite: bool = True) -> str:
        """
        Say who makes the service of C{web}.
        """
        return self.run("-c", LOOK, mayWrite=mayWrite)

    def command(self, name: str, *arguments: str, mayWrite: bool = True) -> str:
        """
        Run C{twistd} or C{twist}.
        """
        return self.run("-c", program(name), *arguments, mayWrite=mayWrite)


class _Installed:
    """
    What holds for each way of installing txsessions.
    """

    def setUp(self) -> None:
        """
        Make an environment, without txsessions.
        """
        self.environment = Environment(makeFolder(self) / "env")

    def install(self) -> Path:
        """
        Install txsessions.

        @return: The dropin.
        """
        raise NotImplementedError

    def plugins(self) -> Path:
        """
        Where Twisted's own dropins and their cache are.
        """
        return self.environment.packages / "twisted" / "plugins"

    def assertOurs(self, mayWrite: bool = True) -> None:
        """
        C{web} is ours, and there is one of it only.
        """
        self.assertEqual(self.environment.look(mayWrite), OURS)

    def test_firstRunAndSecond(self) -> None:
        """
        Without a cache the first run imports the dropin and writes the cache;
        the second run reads the cache.
        """
        cache = self.install().with_name("dropin.cache")
        self.assertOurs()
        before = cache.stat()
        self.assertOurs()
        after = cache.stat()
        self.assertEqual(
            (before.st_mtime_ns, before.st_ino), (after.st_mtime_ns, after.st_ino)
        )

    def test_cacheOfBefore(self) -> None:
        """
        A cache that was written before txsessions was installed, and that is
        newer than its files, as with installers that keep the times of files.
        """
        self.assertEqual(self.environment.look(), TWISTEDS)
        os.utime(self.install(), (1, 1))
        self.assertOurs()
        self.assertOurs()

    def test_cacheOfEarlierRelease(self) -> None:
        """
        The dropin was replaced by one that looks older than the cache.
        """
        plugin = self.install()
        self.assertOurs()
        plugin.write_text(plugin.read_text() + "\n# changed\n")
        os.utime(plugin, (1, 1))
        self.assertOurs()

    def test_staleCache(self) -> None:
        """
        The dropins are newer than their caches.
        """
        plugin = self.install()
        self.assertOurs()
        for folder in {plugin.parent, self.plugins()}:
            os.utime(folder / "dropin.cache", (1, 1))
        self.assertOurs()
        self.assertOurs()

    def test_unwritable(self) -> None:
        """
        No cache can be written, be there none or an old one.
        """
        self.assertEqual(self.environment.look(), TWISTEDS)
        cache = self.plugins() / "dropin.cache"
        old = cache.read_bytes()
        self.install()
        self.assertIn(OURS, self.environment.look(mayWrite=False))
        self.assertIn(OURS, self.environment.look(mayWrite=False))
        self.assertEqual(cache.read_bytes(), old)
        cache.unlink()
        self.assertIn(OURS, self.environment.look(mayWrite=False))
        self.assertFalse(cache.exists())

    def test_damagedCache(self) -> None:
        """
        A cache that cannot be read is written anew.
        """
        cache = self.install().with_name("dropin.cache")
        cache.write_bytes(b"\x80\x04damaged")
        self.assertOurs()
        self.assertOurs()

    def test_uninstalled(self) -> None:
        """
        Nothing stays behind: the cache that names the dropin is thrown away.
        """
        plugin = self.install()
        self.assertOurs()
        plugin.unlink()
        self.assertEqual(self.environment.look(), TWISTEDS)
        self.assertEqual(self.environment.look(), TWISTEDS)

    def test_commands(self) -> None:
        """
        Both commands have our options, on the first run and on the second, and
        list C{web} once.
        """
        self.install()
        for name in ("twistd", "twist", "twistd"):
            said = self.environment.command(name, "web", "--help")
            self.assertIn("--session-store=", said)
            self.assertNotIn("Traceback (most recent", said)
        listed = self.environment.command("twistd", "--help")
        self.assertEqual(len(re.findall(r"^    web  ", listed, re.MULTILINE)), 1)


class WheelTests(_Installed, SynchronousTestCase):
    """
    txsessions as a wheel: its dropin lies beside Twisted's own.
    """

    def install(self) -> Path:
        """
        See L{_Installed.install}.
        """
        environment = self.environment
        environment._link(Path(txsessions.__file__).parent, environment.packages)
        return Path(shutil.copy(findPlugin(), self.plugins()))

    def test_helpDiffersByOurOptionsOnly(self) -> None:
        """
        The help of C{twistd web} is Twisted's with our options added.
        """

        def helpLines() -> list[str]:
            said = self.environment.command("twistd", "web", "--help")
            options = re.split(r"^ {2,6}(?=-)|\n\n", said, flags=re.MULTILINE)
            # Lines are as long as the longest option leaves room for.
            return ["".join(option.split()) for option in options]

        twisteds = helpLines()
        self.install()
        ours = helpLines()
        self.assertEqual([o for o in ours if "--session" not in o], twisteds)
        self.assertEqual(len([o for o in ours if re.match("--session", o)]), 12)

    def test_cacheImportsOurs(self) -> None:
        """
        It is by the name of our marker in the cache that reading the cache
        imports the dropin, also for a search that is not after C{web}.
        """
        plugin = self.install()
        self.assertOurs()
        content = plugin.with_name("dropin.cache").read_bytes()
        self.assertIn(b"ISessionOptions", content)
        said = self.environment.run(
            "-c",
            "from twisted.plugin import getPlugins, IPlugin\n"
            "from twisted.trial.itrial import IReporter\n"
            "list(getPlugins(IReporter)); import sys\n"
            "print('twisted.plugins.txsessions_plugin' in sys.modules,"
            " 'twisted.internet.reactor' in sys.modules, 'txsessions' in sys.modules)",
        )
        self.assertEqual(said, "True False False\n")


class EditableTests(_Installed, SynchronousTestCase):
    """
    txsessions in a checkout that a C{.pth} file puts on the path.
    """

    def install(self) -> Path:
        """
        See L{_Installed.install}.
        """
        checkout = self.environment.path.parent / "checkout"
        plugins = checkout / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (checkout / "src").mkdir()
        self.environment._link(Path(txsessions.__file__).parent, checkout / "src")
        (self.environment.packages / "_txsessions.pth").write_text(
            f"{checkout / 'src'}\n{checkout}\n"
        )
        return Path(shutil.copy(findPlugin(), plugins))
