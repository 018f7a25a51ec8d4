"""
Tests of L{txsessions.auth}.
"""
