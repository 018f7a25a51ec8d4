"""
What is built and what is installed: the package, the plugin, and nothing else.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.served import ROOT

PLUGIN = "twisted/plugins/txsessions_plugin.py"


class SourceTests(SynchronousTestCase):
    """
    The sources as they lie there.
    """

    def test_plugin(self):
        """
        The plugin is there, and its folder is not made a package: that would
        hide all plugins but ours.
        """
        self.assertTrue((ROOT / PLUGIN).is_file())
        self.assertFalse((ROOT / "twisted" / "__init__.py").exists())
        self.assertFalse((ROOT / "twisted" / "plugins" / "__init__.py").exists())

    def test_typed(self):
        """
        Type checkers are told to look.
        """
        self.assertTrue((ROOT / "src" / "txsessions" / "py.typed").is_file())

    def test_lowestPython(self):
        """
        The checks insist on the Python that is declared to be the lowest.
        """
        project = (ROOT / "pyproject.toml").read_text()
        declared = re.search(r'requires-python = ">=([\d.]+)"', project)[1]
        checks = (ROOT / ".ci" / "run").read_text()
        self.assertIn(f"\nLOWEST_PYTHON={declared} ", checks)
        self.assertIn(f'python_version = "{declared}"', project)
        self.assertIn(f'target-version = "py{declared.replace(".", "")}"', project)


class BuiltTests(SynchronousTestCase):
    """
    What the build backend makes of them.
    """

    def build(self, what):
        """
        Build in a process of its own, since the backend reads its folder.

        @param what: C{"build_wheel"} or C{"build_editable"}.
        @return: The opened archive.
        """
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"from hatchling.build import {what} as build;"
                f"import sys; build(sys.argv[1])",
                str(folder),
            ],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        (wheel,) = folder.glob("*.whl")
        archive = zipfile.ZipFile(wheel)
        self.addCleanup(archive.close)
        return archive

    def test_wheel(self):
        """
        The wheel holds every file of the package, the plugin, and nothing else.
        """
        names = {n for n in self.build("build_wheel").namelist() if "-info/" not in n}
        package = ROOT / "src"
        self.assertEqual(
            names,
            {
                path.relative_to(package).as_posix()
                for path in package.rglob("*")
                if path.is_file() and "__pycache__" not in path.parts
            }
            | {PLUGIN},
        )

    def test_editable(self):
        """
        An editable install puts the sources and the folder of the plugin on the
        path.
        """
        archive = self.build("build_editable")
        (paths,) = (n for n in archive.namelist() if n.endswith(".pth"))
        told = {Path(line) for line in archive.read(paths).decode().splitlines()}
        self.assertEqual(told, {ROOT.resolve() / "src", ROOT.resolve()})


class InstalledTests(SynchronousTestCase):
    """
    What is installed here, if txsessions is.
    """

    def test_files(self):
        """
        Of C{twisted/} only the plugin is ours.
        """
        try:
            files = importlib.metadata.files("txsessions") or []
        except importlib.metadata.PackageNotFoundError:
            return  # The tests run on a checkout that is on PYTHONPATH.
        ours = {
            path.as_posix()
            for path in files
            if path.parts[0] == "twisted" and "__pycache__" not in path.parts
        }
        self.assertLessEqual(ours - {"twisted/plugins/dropin.cache"}, {PLUGIN})
