"""
Tests of the live sessions: L{txsessions.live}.
"""
