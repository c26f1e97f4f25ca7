"""The DPoP field, the URL and the parameters of a request, as they were received.

:rfc:`9449#section-4.3`: the field is there once, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749.util import extract_basic_authorization

from dpop_ext.core.proof import PROOF_PARAMETER
from dpop_ext.core.target import is_loopback, request_url
from dpop_ext.errors import MalformedProofError, MalformedRequestError
from dpop_ext.symmetric.key_request import KeyRequest
from dpop_ext.verified_proof import VerifiedProof

#: Request targets that are remembered.
MAX_TARGETS: Final = 64


class ReceivedProof(NamedTuple):
    """The verified proof of a request, and the key that made it."""

    verified: VerifiedProof
    jwk: Mapping[str, Any]
    #: What its ``dsk`` claim asks for, if that has the usual form.
    key_request: KeyRequest | None = None


def read_proof(headers: Any) -> str | None:
    """Return the value of the one ``DPoP`` field (:rfc:`9449#section-4.3`, item 1).

    :param headers: header fields of the request; a proof in the body, the query or a
        cookie is none.
    :returns: None when there is no such field.
    :raises MalformedProofError: the field is there twice, or is empty. An empty field
        must not pass for an absent one: the answer would be a Bearer token.
    """
    environ: Mapping[str, str] | None = getattr(headers, "environ", None)
    if environ is not None:
        # Of WSGI: there is one value of each name, and to list it takes all others.
        proof, is_repeated = environ.get("HTTP_DPOP"), False
    else:
        values = _field_values(headers, "DPoP")
        proof, is_repeated = values[0] if values else None, len(values) > 1
    if proof is None:
        return None
    # A WSGI server joins two fields of one name with a comma, which is in no proof.
    if is_repeated or "," in proof:
        raise MalformedProofError("There is more than one DPoP header field.")
    if not proof:
        raise MalformedProofError("The DPoP header field is empty.")
    return proof


def read_form_proof(request: Any) -> str | None:
    """Return the proof that does not fit a header field, from the form of a request.

    :param request: an OAuth2Request.
    :returns: None when there is no ``dpop_proof`` parameter.
    :raises MalformedRequestError: it is repeated.
    :raises MalformedProofError: it is empty. Elsewhere an empty parameter is an absent
        one; here the answer would be a Bearer token.
    """
    proof = form_value(request, PROOF_PARAMETER)
    if proof is not None and not proof:
        raise MalformedProofError("The dpop_proof parameter is empty.")
    return proof


def raw_target(request: Any) -> str | None:
    """Return the request target as the client sent it, or None if it is not known.

    The decoded path will not do: WSGI turns ``%2F`` into a slash.

    :param request: an OAuth2Request.
    """
    environ = environ_of(request)
    return environ.get("RAW_URI") or environ.get("REQUEST_URI") or None


def full_url(request: Any, *, target: str | None, public_url: str | None) -> str:
    """Return the absolute URL of the request, for comparison with ``htu``.

    :param target: raw request target. Without one the path of the framework stands in:
        it is quoted anew, so a claim with an escape that decoding loses does not match.
    :param public_url: base URL that the clients use; None trusts scheme and host of
        the framework, which a forged ``Host`` field can change.
    :returns: the URL without its query, which no proof names.
    :raises ValueError: they do not make a URL.
    """
    if target is not None and public_url is not None:
        # Without the query, which may hold secrets.
        return _public_url(target.partition("?")[0], public_url)
    seen = urlsplit(request.uri)
    return request_url(
        scheme=seen.scheme,
        host=seen.netloc,
        raw_target=seen.path if target is None else target,
        public_url=public_url,
    )


# Most requests are to the same few endpoints.
@lru_cache(MAX_TARGETS)
def _public_url(target: str, public_url: str) -> str:
    return request_url(scheme="", host="", raw_target=target, public_url=public_url)


def is_sent_to_loopback(request: Any) -> bool:
    """Tell whether the request was sent to a loopback host."""
    try:
        return is_loopback(urlsplit(request.uri).hostname or "")
    except ValueError:
        return False


def form_value(request: Any, name: str) -> str | None:
    """Return a parameter of the form, which must be there once at most.

    Authlib's ``request.payload`` also takes it from the query, where parameters of
    token requests have no business to be.

    :raises MalformedRequestError: it is repeated.
    """
    return only_value(request.form, name)


def only_value(form: Any, name: str) -> str | None:
    """Return a parameter of a form that was read; see :func:`form_value`."""
    # Most requests have none of those that are asked for here.
    if name not in form:
        return None
    values = values_of(form, name)
    if len(values) > 1:
        raise MalformedRequestError("A parameter is repeated.")
    return values[0] if values else None


def form_values(request: Any, name: str) -> list[str]:
    """Return every value of a parameter of the form."""
    return values_of(request.form, name)


def values_of(form: Any, name: str) -> list[str]:
    """Return every value of a parameter of a form that was read."""
    if name not in form:
        return []
    return list(form.getlist(name)) if hasattr(form, "getlist") else [form[name]]


def claimed_client_id(request: Any) -> str:
    """Return the client id for a log line, whether the client is authenticated or not.

    It is quoted and cut, for it may be anything that anybody sent.
    """
    client = getattr(request, "client", None)
    if client is not None:
        return ascii(client.get_client_id())
    try:
        claimed = extract_basic_authorization(request.headers)[0]
    except ValueError:  # Authlib decodes the credentials, but not with care
        claimed = None
    claimed = claimed or request.payload.data.get("client_id")
    return ascii(claimed[:64]) if isinstance(claimed, str) else "-"


def environ_of(request: Any) -> Mapping[str, str]:
    """Return the WSGI environ, or nothing where there is none.

    :param request: an OAuth2Request.
    """
    environ: Mapping[str, str]
    try:
        # Flask's header fields have it at hand.
        environ = request.headers.environ
    except AttributeError:
        http_request = getattr(request, "_request", None)
        environ = getattr(http_request, "environ", {})
    return environ


def _field_values(headers: Any, name: str) -> list[str]:
    if hasattr(headers, "getlist"):
        return list(headers.getlist(name))
    return [value for key, value in headers.items() if key.lower() == name.lower()]
