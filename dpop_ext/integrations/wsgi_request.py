"""A WSGI request, as it is decided upon: :rfc:`9449#section-4.3`, :pep:`3333`."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from dpop_ext.core.confirmation import AccessToken
from dpop_ext.integrations.client_certificate import ClientCertificate
from dpop_ext.integrations.form_content import form_length, is_form
from dpop_ext.integrations.wsgi_answers import ANSWER, Environ
from dpop_ext.integrations.wsgi_content import read_content, read_pieces
from dpop_ext.resource_server.credentials import ResourceRequest, names_access_token
from dpop_ext.resource_server.usual_request import UsualRequests
from dpop_ext.verified_proof import VerifiedProof

#: Name of the proofs that layers of the application spent, in the environ.
SPENT = "dpop_ext.spent"
#: What may stand in a path as it is: RFC 3986 section 3.3, and the slash.
_PATH = "/:@!$&'()*+,;=-._~"


def resource_request(
    environ: Environ,
    *,
    token_in_form: bool,
    client_certificate: ClientCertificate | None = None,
    content: Callable[[int], bytes] | None = None,
) -> ResourceRequest:
    """Return what the decision needs of a request.

    WSGI joins the lines of a repeated field with a comma, so each value is one line.

    :param token_in_form: the body is a form with an access token.
    :param client_certificate: where to find the certificate of the client.
    :param content: how to read the content, if not from the environ.
    """
    # An empty field is there, and is not nothing.
    authorization, proof = environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_DPOP")
    query = environ.get("QUERY_STRING")
    return ResourceRequest(
        method=environ["REQUEST_METHOD"],
        scheme=environ["wsgi.url_scheme"],
        host=environ.get("HTTP_HOST") or _host(environ),
        raw_target=environ.get("RAW_URI") or raw_target(environ),
        authorization=() if authorization is None else (authorization,),
        proofs=() if proof is None else (proof,),
        token_elsewhere=token_in_form or bool(query and names_access_token(query)),
        certificate=client_certificate(environ) if client_certificate else None,
        spent=environ.setdefault(SPENT, set()),
        read_content=content or partial(read_content, environ),
        answer=environ.get(ANSWER),
    )


def accept_usual(
    environ: Environ, usual: UsualRequests, scopes: Any
) -> tuple[AccessToken, VerifiedProof] | None:
    """Return token and proof of a usual request; None says nothing about it.

    :param scopes: as for :meth:`UsualRequests.accept`.
    :raises AccessRefusedError: as :meth:`UsualRequests.accept`.
    """
    authorization, proof = environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_DPOP")
    query = environ.get("QUERY_STRING")
    if (
        authorization is None
        or proof is None
        or (query and names_access_token(query))
        # It may be a form.
        or (
            environ.get("CONTENT_LENGTH", "0") not in {"", "0"}
            and not environ.get("CONTENT_TYPE", "").startswith("application/json")
        )
    ):
        return None
    return usual.accept(
        method=environ["REQUEST_METHOD"],
        raw_target=environ.get("RAW_URI") or raw_target(environ),
        authorization=authorization,
        proof=proof,
        scopes=scopes,
        spent=environ.setdefault(SPENT, set()),
    )


def raw_target(environ: Environ) -> str:
    """Return the request target as it was sent, or the decoded path, quoted anew."""
    target: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target:
        return target
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    path = quote(path.encode("latin-1"), safe=_PATH) or "/"
    # Not decoded by anyone: it is the one that was sent.
    query = environ.get("QUERY_STRING")
    return f"{path}?{query}" if query else path


def _host(environ: Environ) -> str:
    host: str | None = environ.get("HTTP_HOST")
    if host is not None:
        return host
    name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def has_token_in_form(environ: Environ) -> bool:
    """Tell whether a form names an access token; the application can still read it."""
    text = environ.get("CONTENT_LENGTH")
    # Most requests have no body, and nothing in it to parse.
    if not text or not is_form(environ.get("CONTENT_TYPE", "")):
        return False
    length = form_length(text)
    if not length:
        return False
    body = read_pieces(environ["wsgi.input"], length)
    environ["wsgi.input"] = io.BytesIO(body)
    return names_access_token(body.decode("latin-1"))
