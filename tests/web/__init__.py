"""
Tests of L{txsessions.web}.
"""
