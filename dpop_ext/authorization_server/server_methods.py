"""The methods of Authlib's server that are wrapped, and why each one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import (
    InvalidRequestError,
    OAuth2Error,
    UnsupportedResponseTypeError,
)

from dpop_ext.authorization_server.oauth2_request import making_requests
from dpop_ext.authorization_server.refusal import (
    PARSER_ERRORS,
    log,
    log_error,
    log_fault,
)

if TYPE_CHECKING:
    from dpop_ext.authorization_server.extension import DPoP


def extend_server(extension: DPoP, server: Any) -> None:
    """Extend every grant that *server* makes, on the instance of the server.

    Authlib has no hook around the making of a token grant, and runs the hooks around
    that of an authorization grant in no order.

    An application that is made anew, as for each test, registers one more at the same
    server: the last one decides.
    """
    replaced = getattr(server, "dpop_extension", None)
    server.dpop_extension = extension
    if replaced is not None:
        if replaced is not extension:
            log.warning("The last DPoP extension of the server replaces another one.")
        return
    server.get_token_grant = _extending_token_grants(server, server.get_token_grant)
    server.get_authorization_grant = _extending_authorization_grants(
        server, server.get_authorization_grant
    )
    server.create_oauth2_request = _refusing_odd_queries(making_requests(server))
    for name in (
        "create_token_response",
        "create_authorization_response",
        "create_endpoint_response",
    ):
        setattr(server, name, _answering_early(server, getattr(server, name)))


def _extending_token_grants(
    server: Any, get_grant: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    def get_token_grant(request: Any) -> Any:
        try:
            grant = get_grant(request)
        except OAuth2Error as error:
            log_error(request, "token", error)
            raise
        server.dpop_extension.extend_grant(grant)
        return grant

    return get_token_grant


def _extending_authorization_grants(
    server: Any, get_grant: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    def get_authorization_grant(request: Any) -> Any:
        try:
            grant = get_grant(request)
        except OAuth2Error as error:
            log_error(request, "authorization", error)
            raise
        except PARSER_ERRORS as error:
            # Authlib puts an unknown response type into its error, which refuses
            # quotes and what is not ASCII.
            log_fault(error)
            raise UnsupportedResponseTypeError(None) from error
        server.dpop_extension.extend_grant(grant)
        # Authlib asks it before the request is validated, where a refusal is logged.
        grant.validate_no_multiple_request_parameter = _logging_refusals(
            grant.validate_no_multiple_request_parameter
        )
        return grant

    return get_authorization_grant


def _logging_refusals(check: Callable[[Any], None]) -> Callable[[Any], None]:
    def check_and_log(request: Any) -> None:
        try:
            check(request)
        except OAuth2Error as error:
            log_error(request, "authorization", error)
            raise

    return check_and_log


def _refusing_odd_queries(create_request: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Refuse a query with octets that are in no URI, before it is read.

    Flask decodes it when Authlib asks for the first parameter, and fails there.
    """

    def create_oauth2_request(request: Any) -> Any:
        created = create_request(request)
        # Flask's header fields have the environ of WSGI at hand; see http_request.
        environ = getattr(created.headers, "environ", None)
        query: str | bytes
        if environ is not None:
            query = environ.get("QUERY_STRING", "")
        else:
            http_request = getattr(created, "_request", None)
            query = getattr(http_request, "query_string", b"")
        if not query.isascii():
            log.info("refused: invalid_request, client -, the query is not ASCII")
            raise InvalidRequestError("The query is malformed.")
        return created

    return create_oauth2_request


def _answering_early(server: Any, respond: Callable[..., Any]) -> Callable[..., Any]:
    """Answer requests with an odd query, over plain http, or to a host that is none.

    Authlib makes the object for a request outside its own error handling. So are Basic
    credentials read that are no text, for an endpoint such as that of :rfc:`7009`.
    """

    def respond_with_error(*args: Any, **kwargs: Any) -> Any:
        try:
            return respond(*args, **kwargs)
        except OAuth2Error as error:
            return server.handle_error_response(None, error)
        except UnicodeDecodeError as error:
            log_fault(error)
            malformed = InvalidRequestError("The request is malformed.")
            return server.handle_error_response(None, malformed)

    return respond_with_error
