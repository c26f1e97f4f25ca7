"""A nonce before it is needed, with requests: :rfc:`9449#section-9`."""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import closing
from typing import Any

from requests.hooks import default_hooks
from requests.models import PreparedRequest, Response
from requests.sessions import Session
from requests.structures import CaseInsensitiveDict

from dpop_ext.client.exchange import Reply
from dpop_ext.client.nonces import FIRST_ANSWER_WAIT
from dpop_ext.client.rehearsal import LEFT_OUT, Question, RehearsalFlow
from dpop_ext.integrations.requests_client.direct import proxies_for
from dpop_ext.integrations.requests_client.reply import drain, read_reply
from dpop_ext.integrations.requests_client.signed_headers import SignedHeaders


def rehearsal_of(request: PreparedRequest) -> RehearsalFlow | None:
    """Return what goes out before a request whose body is sent once only.

    :param request: one that is signed, or any other.
    :returns: None if it can do without.
    """
    fields = request.headers
    return fields.exchange.rehearse() if isinstance(fields, SignedHeaders) else None


def rehearse(
    session: Session, request: PreparedRequest, flow: RehearsalFlow, **kwargs: Any
) -> None:
    """Send what *flow* asks for.

    :param request: the one to come.
    :param kwargs: those of :meth:`requests.Session.send` for it.
    """
    kwargs |= {"stream": True, "allow_redirects": False}
    kwargs.setdefault("verify", session.verify)
    kwargs.setdefault("proxies", proxies_for(request, session))
    with closing(flow):
        question = next(flow)
        while True:
            first = question.turn()
            if first is not None:
                wait([first], timeout=FIRST_ANSWER_WAIT)
            if not question.is_needed():
                return
            if not question.is_anonymous:
                reply = _ask(session, _bare(request, question), **kwargs)
            elif kwargs.get("cert") or session.cert:
                # With a certificate it would be somebody's, and a server may refuse
                # the connection without.
                return
            else:
                reply = _ask_anonymously(session, request, question, **kwargs)
            try:
                question = flow.send(reply)
            except StopIteration:
                return


def _bare(request: PreparedRequest, question: Question) -> PreparedRequest:
    """Return a copy without content, whose proof is written once."""
    bare = request.copy()
    bare.method, bare.body, bare.hooks = question.method, None, default_hooks()
    # The names first: fields that are signed make a proof of the other request.
    fields = request.headers
    bare.headers = CaseInsensitiveDict(
        (name, fields[name]) for name in fields if name.lower() not in LEFT_OUT
    )
    bare.headers.update(question.headers())
    return bare


def _ask(session: Session, bare: PreparedRequest, **kwargs: Any) -> Reply:
    return _read(session.send(bare, **kwargs))


def _ask_anonymously(
    session: Session, request: PreparedRequest, question: Question, **kwargs: Any
) -> Reply:
    agent = request.headers.get("User-Agent")
    bare = PreparedRequest()
    bare.prepare(
        question.method,
        question.url,
        headers={} if agent is None else {"User-Agent": agent},
    )
    # Below the session: whatever cookies a stranger gets must not replace its own.
    answer = session.get_adapter(question.url).send(
        bare,
        stream=True,
        timeout=kwargs.get("timeout"),
        verify=kwargs["verify"],
        proxies=kwargs["proxies"],
    )
    return _read(answer)


def _read(answer: Response) -> Reply:
    with closing(answer):
        drain(answer)
        return read_reply(answer, with_body=False)
