"""
What stands for a resource on its way through a request's C{render}.

Owns the noting of what a resource returns, and the telling of it again to Twisted where
it has been rendered already.  Knows neither sessions nor what is done with a body.
"""

from __future__ import annotations

from typing import Any


class Rendered:
    """
    A resource whose result is noted on its way to the request.
    """

    __slots__ = ("_resource",)

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def _result(self, request: Any) -> Any:
        """
        What the resource returns.
        """
        return self._resource.render(request)

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        body = self._result(request)
        exchange = request._exchange
        if exchange is not None and not request._inFakeHead:
            exchange.body = body
        return body

    def __repr__(self) -> str:
        return repr(self._resource)


class Answered(Rendered):
    """
    A resource that was rendered already: what it returned is told again.
    """

    __slots__ = ("_body",)

    def __init__(self, resource: Any, body: Any) -> None:
        """
        @param body: What the resource has returned.
        """
        super().__init__(resource)
        self._body = body

    def _result(self, request: Any) -> Any:
        """
        See L{Rendered._result}.
        """
        return self._body


class Refused(Rendered):
    """
    A resource that has raised already: that is told again, once.  To fake a C{HEAD},
    Twisted then has it rendered once more.
    """

    __slots__ = ("_error",)

    def __init__(self, resource: Any, error: Exception) -> None:
        """
        @param error: What the resource has raised.
        """
        super().__init__(resource)
        self._error: Exception | None = error

    def _result(self, request: Any) -> Any:
        """
        See L{Rendered._result}.
        """
        error, self._error = self._error, None
        if error is None:
            return super()._result(request)
        try:
            raise error
        finally:
            # Else its traceback would hold itself, and so the request.
            del error


__all__ = ["Answered", "Refused", "Rendered"]
