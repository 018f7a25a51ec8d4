"""
The uses of sessions that Twisted's manual shows.
"""
