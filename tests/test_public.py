"""
The public names, pinned: a name that comes or goes is a decision.
"""

from __future__ import annotations

import importlib

from twisted.trial.unittest import SynchronousTestCase

PUBLIC = {
    "txsessions": [
        "CSRFProtected",
        "CookiePolicy",
        "Flash",
        "Floods",
        "HealthResource",
        "NetworkBudget",
        "Renewal",
        "Request",
        "Session",
        "SignInLimit",
        "SignedIn",
        "Site",
        "StoreCheck",
        "checkCSRF",
        "keep",
        "openStore",
    ],
    "txsessions.auth": ["MAX_PASSWORD", "LoginForm", "SessionGuard", "Throttle"],
    "txsessions.errors": [
        "AddressError",
        "CSRFRefused",
        "CannotBeKept",
        "ConfigurationError",
        "KeyFileError",
        "RecordDamaged",
        "ResponseStarted",
        "SessionConflict",
        "SessionError",
        "SessionExists",
        "SessionGone",
        "SessionStale",
        "SessionTooLarge",
        "SessionUnavailable",
        "SignInNeeded",
        "StoreCorrupt",
        "StoreError",
        "StoreUnavailable",
        "TooManyNewSessions",
        "TooManySessions",
        "TransactionTooLong",
        "UnknownKey",
        "WrongThread",
    ],
    "txsessions.interfaces": [
        "Answer",
        "DELETED",
        "END_MARKER",
        "FORMER",
        "IConnectionListener",
        "IReconnectingStore",
        "ISessionListener",
        "ISessionStore",
        "PREFIX_BYTES",
        "ROTATED",
        "ROTATION_MARKER",
        "Record",
        "SignInLimit",
        "UNCHANGED",
    ],
    "txsessions.stores": ["MemoryStore", "SQLiteStore", "openStore"],
    "txsessions.stores.address": ["GOOD_ADDRESSES", "openStore"],
    "txsessions.stores.memory": ["MemoryStore", "SLICE"],
    "txsessions.stores.postgresql": ["PAGE", "SLICE", "PostgreSQLStore", "fromAddress"],
    "txsessions.stores.redis": ["RedisStore", "fromAddress"],
    "txsessions.stores.sqlite": ["PAGE", "SLICE", "SQLiteStore"],
    "txsessions.testing": ["StoreContract"],
}


class PublicTests(SynchronousTestCase):
    """
    What users may rely on.
    """

    def test_names(self):
        """
        Each public module offers exactly the names above.
        """
        for module, names in PUBLIC.items():
            offered = importlib.import_module(module).__all__
            self.assertEqual(sorted(offered), sorted(names), module)

    def test_there(self):
        """
        Each name that is offered is there.
        """
        for module, names in PUBLIC.items():
            for name in names:
                self.assertTrue(
                    hasattr(importlib.import_module(module), name), f"{module}.{name}"
                )

    def test_nothingElse(self):
        """
        The package itself has no other public names than these and its modules.
        """
        package = importlib.import_module("txsessions")
        offered = {
            name
            for name, value in vars(package).items()
            if not name.startswith("_")
            and getattr(value, "__name__", "") != f"txsessions.{name}"
        }
        self.assertEqual(offered - {"annotations"}, set(PUBLIC["txsessions"]))
