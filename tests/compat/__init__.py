"""
Other people's tests, run with our classes in the place of Twisted's.
"""
