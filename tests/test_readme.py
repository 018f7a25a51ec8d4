"""
What README.md and docs/ say is so: the commands, the example, the links, the
options, and the names of tests.

The two commands themselves are run by C{.ci/run}, since one of them runs this test.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.served import ROOT, Program, Visitor

README = ROOT / "README.md"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("newsfragments/*.md")]

# A module or a folder, and perhaps a class in it, and perhaps a test of that.
TEST_NAME = re.compile(r"\btests(?:\.[a-z]\w*)+(?:\.[A-Z]\w*(?:\.test_\w+)?)?")


def isTest(name):
    """
    Whether C{name} is a module or a folder of tests, a class in one, or a test that
    stands in that class itself.
    """
    module, *inside = re.split(r"\.(?=[A-Z])", name)
    inside = inside[0].split(".") if inside else []
    path = ROOT.joinpath(*module.split("."))
    if not inside and (path / "__init__.py").is_file():
        return True
    path = path.with_suffix(".py")
    if not path.is_file():
        return False
    tree = ast.parse(path.read_text())
    for each in inside:
        found = [one for one in tree.body if getattr(one, "name", None) == each]
        if not found:
            return False
        tree = found[0]
    return True


class CommandTests(SynchronousTestCase):
    """
    The two commands for a fresh machine.
    """

    def commands(self):
        """
        Read them as the checks do.
        """
        return {
            name: subprocess.run(
                [sys.executable, str(ROOT / ".ci" / "readme.py"), name],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout.strip()
            for name in ("serve", "test")
        }

    def test_nearTheTop(self):
        """
        They stand where a newcomer sees them, and are two.
        """
        lines = README.read_text().splitlines()
        self.assertLess(lines.index("<!-- two commands -->"), 12)
        self.assertLess(lines.index("<!-- end -->"), 18)

    def test_needNothing(self):
        """
        Each starts from Python alone and makes an environment of its own.
        """
        for command in self.commands().values():
            self.assertRegex(command, r"^python3 -m venv (\S+) && \1/bin/pip install ")

    def test_what(self):
        """
        One serves and one tests.
        """
        commands = self.commands()
        self.assertIn("twistd -n web --sessions", commands["serve"])
        self.assertIn("-m twisted.trial tests", commands["test"])


class ExampleTests(TestCase):
    """
    The example in the README.
    """

    timeout = 60

    def code(self):
        """
        The program as it is printed.
        """
        found = re.search(
            r"<!-- example -->\n```python\n(.*?)```", README.read_text(), re.DOTALL
        )
        self.assertIsNotNone(found)
        return found[1]

    def test_short(self):
        """
        It has about twenty lines.
        """
        self.assertLessEqual(len(self.code().splitlines()), 22)

    async def test_runs(self):
        """
        It counts, and goes on after C{kill -9}.  Only the port is another one here.
        """
        code = self.code()
        listens = 'endpoints.serverFromString(reactor, "tcp:8080").listen(site)\n'
        self.assertIn(listens, code)
        code = code.replace(
            listens,
            listens.replace("tcp:8080", "tcp:0:interface=127.0.0.1").rstrip()
            + ".addCallback(lambda it: print("
            "f'http://127.0.0.1:{it.getHost().port}/', "
            "file=sys.__stdout__, flush=True))\n",
        )
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "example.py").write_text(code)
        visitor = Visitor(reactor)
        texts = []
        for _ in range(2):
            program = Program.start(reactor, "example.py", folder)
            self.addCleanup(program.end)
            address = await program.ready
            texts.append(await visitor.get(address))
            await program.end("KILL")
        self.assertEqual(texts, [(200, "visit 1\n"), (200, "visit 2\n")])


class PageTests(SynchronousTestCase):
    """
    What the pages point at is there.
    """

    def test_links(self):
        """
        Each link to a file leads to one.
        """
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
                if "://" not in target:
                    self.assertTrue(
                        (page.parent / target).exists(), f"{page.name}: {target}"
                    )

    def test_tests(self):
        """
        Each test that a page names can be found.
        """
        for page in PAGES:
            for name in TEST_NAME.findall(page.read_text()):
                self.assertTrue(isTest(name), f"{page.name}: {name} is not there")

    def test_wouldBeMissed(self):
        """
        A module, a class or a test that is called otherwise is not found.
        """
        good = "tests.test_readme.PageTests.test_wouldBeMissed"
        self.assertEqual(TEST_NAME.findall(f"`{good}`"), [good])
        self.assertTrue(isTest(good))
        self.assertTrue(isTest("tests.test_readme.PageTests"))
        self.assertTrue(isTest("tests.web"))
        for name in ("test_readme", "PageTests", "test_wouldBeMissed"):
            self.assertFalse(isTest(good.replace(name, name + "s")), name)

    def test_code(self):
        """
        Each piece of Python in the pages is Python.
        """
        for page in PAGES:
            for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
                compile(code, page.name, "exec")

    def test_options(self):
        """
        The table of options is that of the command.
        """
        self.assertIsNotNone(importlib.util.find_spec("txsessions.tap"))
        from txsessions.tap import Options

        ours = {
            "--" + name.rstrip("=")
            for name in Options().longOpt
            if name.startswith("session")
        }
        told = set(re.findall(r"^\| `(--[a-z-]+)", README.read_text(), re.MULTILINE))
        self.assertEqual(told, ours)


class AuditTests(SynchronousTestCase):
    """
    The tables for auditors are whole.
    """

    page = ROOT / "docs" / "security.md"

    states = ("by default", "with a call", "yours", "not there")

    # How many items each section of OWASP ASVS 5.0 has.
    sections = (
        ("7.1", 3),
        ("7.2", 4),
        ("7.3", 2),
        ("7.4", 5),
        ("7.5", 3),
        ("7.6", 2),
        ("3.3", 5),
    )

    def rows(self):
        """
        The rows about items, cut into columns.
        """
        lines = re.findall(r"^\|( \d.*)\|$", self.page.read_text(), re.MULTILINE)
        return [[each.strip() for each in line.split("|")] for line in lines]

    def test_items(self):
        """
        Each item of ASVS has one row.
        """
        expected = [
            f"{section}.{item}"
            for section, items in self.sections
            for item in range(1, items + 1)
        ]
        found = [row[0].split()[0] for row in self.rows()]
        self.assertEqual([each for each in found if each in expected], expected)

    def test_shown(self):
        """
        Each row has four columns, and says in one of four ways how things stand: what
        the library is said to do names a test that shows it.
        """
        for row in self.rows():
            self.assertEqual(len(row), 4, row)
            state = re.match(r"\*\*(.*?)\*\*", row[1])
            self.assertIsNotNone(state, row)
            self.assertIn(state[1], self.states)
            if state[1] in self.states[:2]:
                self.assertRegex(row[2], TEST_NAME, row[0])

    def test_files(self):
        """
        Each item that the library has to do with has a file of tests, which the row
        names first, with the test that its fault is found; and there is no other.
        """
        named = set()
        for row in self.rows():
            item = row[0].split()[0]
            file = f"test_v{item.replace('.', '_')}"
            name = f"tests.asvs.{file}"
            if name in row[2]:
                named.add(file)
                start = rf"`{name}`; fault: `{name}\.\w+\.test_fault\w*`"
                self.assertRegex(row[2], f"^{start}")
            elif item[:3] in dict(self.sections) and "**yours**" not in row[1]:
                self.fail(f"{item} has no file of tests")
        files = {path.stem for path in (ROOT / "tests" / "asvs").glob("test_*.py")}
        self.assertEqual(named, files)
