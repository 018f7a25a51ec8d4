"""
The tests of the rules and the bytes.
"""
