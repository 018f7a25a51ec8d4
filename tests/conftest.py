"""
What pytest is told: to run in a folder of its own, as trial does, because
C{TestCase.mktemp} makes its files in the current one.
"""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _folder(tmp_path_factory):
    """
    Run all tests in a temporary folder.
    """
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("tests"))
    yield
    os.chdir(before)
