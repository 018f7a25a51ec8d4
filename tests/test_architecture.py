"""
What no other tool checks of how the code is built: sizes, docstrings, forbidden
words and imports, tests that would never run or hurry, and that ARCHITECTURE.md is so.
"""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.served import ROOT
from txsessions.core import settle

SOURCE = ROOT / "src"
PRODUCT = sorted([*SOURCE.rglob("*.py"), *ROOT.glob("twisted/plugins/*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
DOCUMENT = ROOT / "ARCHITECTURE.md"


def nameOf(path):
    """
    A file as people call it.
    """
    return path.relative_to(ROOT).as_posix()


@functools.cache
def treeOf(path):
    """
    What stands in a Python file; to parse them all takes seconds.
    """
    return ast.parse(path.read_text())


def topLevel(nodes):
    """
    Go through what runs on import: all statements but those in functions.
    """
    for node in nodes:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from topLevel(ast.iter_child_nodes(node))


def undocumented(node, inside=""):
    """
    Find what has no docstring: classes, functions and methods.  Methods with
    underscores on both sides mean what Python says, a setter is explained by its
    getter, overloads by what they are of, and functions in functions where they stand.
    """
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if isinstance(child, (ast.If, ast.Try)):
                yield from undocumented(child, inside)
            continue
        name = f"{inside}{child.name}"
        marks = {ast.unparse(mark) for mark in child.decorator_list}
        if any(re.fullmatch(r"overload|.*\.(setter|deleter)", mark) for mark in marks):
            continue
        if not re.fullmatch(r"__\w+__", child.name) and not ast.get_docstring(child):
            yield name
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child, f"{name}.")


def texts(tree):
    """
    The strings of a module that are no docstrings, f-strings with a mark where
    they have a hole.
    """
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "{}"
                for part in node.values
            )
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
        ):
            yield node.value


class SizeTests(SynchronousTestCase):
    """
    How long a file may get.
    """

    def test_product(self):
        """
        No file of the product has over 400 lines; those over 250 are told.
        """
        sizes = {nameOf(path): len(path.read_text().splitlines()) for path in PRODUCT}
        tooLong = {name: size for name, size in sizes.items() if size > 400}
        self.assertEqual(tooLong, {})
        long = sorted(name for name, size in sizes.items() if size > 250)
        if long:
            warnings.warn(f"files of over 250 lines: {', '.join(long)}", stacklevel=1)
            self.flushWarnings()

    def test_tests(self):
        """
        No test file has over 600 lines.
        """
        for path in TESTS:
            size = len(path.read_text().splitlines())
            self.assertLessEqual(size, 600, nameOf(path))


class DocstringTests(SynchronousTestCase):
    """
    Everything says what it is for.
    """

    def test_everything(self):
        """
        Modules, classes, functions and methods have docstrings, tests too.
        """
        missing = []
        for path in [*PRODUCT, *TESTS]:
            tree = treeOf(path)
            if not ast.get_docstring(tree):
                missing.append(nameOf(path))
            missing += [f"{nameOf(path)}: {name}" for name in undocumented(tree)]
        self.assertEqual(missing, [])


class ForbiddenTests(SynchronousTestCase):
    """
    What may stand nowhere in the product.
    """

    def test_upsert(self):
        """
        No SQL that writes a row whether or not it is there: that is how a late
        request brings a logged-out session back.
        """
        upsert = re.compile(
            r"\bOR\s+REPLACE\b|\bREPLACE\s+INTO\b|\bON\s+CONFLICT\b.*\bDO\s+UPDATE\b",
            re.IGNORECASE | re.DOTALL,
        )
        self.assertTrue(upsert.search("INSERT OR REPLACE INTO sessions"))
        self.assertTrue(upsert.search("ON CONFLICT (key)\n DO UPDATE SET"))
        for path in PRODUCT:
            for text in texts(treeOf(path)):
                self.assertIsNone(upsert.search(text), nameOf(path))

    def test_timeAndReactor(self):
        """
        Nothing takes C{time} or the reactor when it is imported: they are
        arguments.
        """
        for path in PRODUCT:
            for node in topLevel(treeOf(path).body):
                names = set()
                if isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names = {f"{node.module}.{alias.name}" for alias in node.names}
                    names.add(node.module)
                self.assertEqual(
                    names & {"time", "twisted.internet.reactor"}, set(), nameOf(path)
                )

    def test_inlineCallbacks(self):
        """
        Nothing is written with C{inlineCallbacks}: there are coroutines.
        """
        for path in PRODUCT:
            self.assertNotIn("inlineCallbacks", path.read_text(), nameOf(path))

    def test_noHTTP(self):
        """
        The live sessions know no HTTP: of twisted.web they know the class that
        they extend.
        """
        for path in SOURCE.glob("txsessions/live/*.py"):
            for node in ast.walk(treeOf(path)):
                if isinstance(node, ast.ImportFrom):
                    module = node.module or ""
                    if module == "twisted.web" or module.startswith("twisted.web."):
                        self.assertEqual(module, "twisted.web.server", nameOf(path))
                        self.assertEqual(
                            {alias.name for alias in node.names} - {"Session"},
                            set(),
                            nameOf(path),
                        )


class NeverRunTests(SynchronousTestCase):
    """
    Tests that would pass because they never run.
    """

    def classes(self):
        """
        All classes of the tests and of the contract.

        @return: By the file and the name of each, its bases' names and its body.
        """
        found = {}
        for path in [*TESTS, *(SOURCE / "txsessions" / "testing").glob("*.py")]:
            for node in topLevel(treeOf(path).body):
                if isinstance(node, ast.ClassDef):
                    bases = [ast.unparse(b).split(".")[-1] for b in node.bases]
                    found[path, node.name] = (bases, node.body)
        return found

    def ancestors(self, key, classes, seen):
        """
        Gather a class and all that it inherits from; a base that its own file
        does not have is looked for in all.
        """
        if key in seen:
            return seen
        seen.add(key)
        path, _ = key
        for base in classes.get(key, ([], []))[0]:
            near = [(path, base)] if (path, base) in classes else []
            far = [other for other in classes if other[1] == base]
            for parent in near or far or [(None, base)]:
                self.ancestors(parent, classes, seen)
        return seen

    def neverRun(self, classes):
        """
        Find coroutines where nothing awaits them.
        """
        for key in classes:
            line = self.ancestors(key, classes, set())
            names = {name for _, name in line}
            if "SynchronousTestCase" in names and "TestCase" not in names:
                for ancestor in line & set(classes):
                    for node in classes[ancestor][1]:
                        if isinstance(node, ast.AsyncFunctionDef) and re.match(
                            r"test|setUp$|tearDown$", node.name
                        ):
                            yield f"{key[1]}.{node.name}"

    def test_coroutines(self):
        """
        No C{async def test_...} stands in a C{SynchronousTestCase}, by itself or
        by a mixin.
        """
        self.assertEqual(sorted(self.neverRun(self.classes())), [])

    def test_found(self):
        """
        One that does is found.
        """
        body = ast.parse("async def test_x(self): pass").body
        classes = {
            ("mixin.py", "Mixin"): ([], body),
            ("good.py", "Good"): (["Mixin", "TestCase"], []),
            ("bad.py", "Bad"): (["Mixin", "SynchronousTestCase"], []),
        }
        self.assertEqual(list(self.neverRun(classes)), ["Bad.test_x"])


class SlowMachineTests(SynchronousTestCase):
    """
    Tests that would fail because the machine has other things to do.
    """

    def hurried(self, tree):
        """
        Find tests to which Hypothesis gives a time limit, as it does unless told not
        to.
        """
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                marks = " ".join(map(ast.unparse, node.decorator_list))
                if "given(" in marks and "deadline=None" not in marks:
                    yield node.name

    def test_deadline(self):
        """
        No example of Hypothesis has a time limit.
        """
        found = [name for path in TESTS for name in self.hurried(treeOf(path))]
        self.assertEqual(found, [])

    def test_found(self):
        """
        One that has is found.
        """
        tree = ast.parse(
            "@settings(deadline=None)\n@given(x)\ndef test_good(x): pass\n"
            "@settings(max_examples=9)\n@given(x)\ndef test_bad(x): pass\n"
        )
        self.assertEqual(list(self.hurried(tree)), ["test_bad"])


class DocumentTests(SynchronousTestCase):
    """
    ARCHITECTURE.md and the code say the same.
    """

    def test_short(self):
        """
        It can be read in a few minutes.
        """
        self.assertLessEqual(len(DOCUMENT.read_text().splitlines()), 150)

    def test_complete(self):
        """
        It names every module, so that there is a place to start from, and none
        that is not there.  The folder may be left out where the name is the only
        one of its kind.
        """
        package = SOURCE / "txsessions"
        names = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
        counts = Counter(name.rpartition("/")[2] for name in names)
        short = {name: name.rpartition("/")[2] for name in names}
        short = {name: last for name, last in short.items() if counts[last] == 1}
        told = set(re.findall(r"`((?:\w+/)?\w+\.py)`", DOCUMENT.read_text()))
        missing = [
            name
            for name in sorted(names)
            if not name.endswith("__init__.py")
            and name not in told
            and short.get(name) not in told
        ]
        self.assertEqual(missing, [])
        named = names | set(short.values())
        gone = [n for n in told - named if not (ROOT / "tests" / n).exists()]
        self.assertEqual(gone, [])

    def test_settleTable(self):
        """
        Its table of what a session needs is the one that is run.
        """
        rows = re.search(
            r"<!-- settle -->\n(.*?)<!-- end -->", DOCUMENT.read_text(), re.DOTALL
        )
        self.assertIsNotNone(rows)
        self.assertEqual(rows[1], settle.renderRules())
