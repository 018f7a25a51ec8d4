"""
The tests of txsessions: C{python -m twisted.trial tests}, or pytest.
"""
