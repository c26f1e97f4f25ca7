"""Clients whose every request is sent several times at once, and what came of it."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from dpop_ext import ProofSigner
from dpop_ext.client import TicketServer
from dpop_ext.core.client_assertion import ASSERTION_TYPE
from dpop_ext.core.jws_signature import sign_compact
from dpop_ext.integrations.requests_client import OAuth2Session
from tests.load.topology import CLIENT_ID, CLIENT_KEY, Topology
from tests.patience import PATIENCE

#: What a client prefers: its own key, one that comes with the token, or a ticket.
Mode = Literal["asymmetric", "symmetric", "ticket"]
#: The kinds of requests that are counted.
KINDS = ("AS", "RS, asymmetric", "RS, symmetric", "RS, ticket")

#: Requests of a client after which it gets another token.
TOKEN_EVERY = 25


@dataclass
class Tally:
    """What the servers did with the proofs. Each of them was sent several times."""

    #: Distinct proofs of which one copy was accepted.
    accepted: int = 0
    #: Those of which no copy was, because a nonce or an asymmetric proof was asked for.
    challenged: int = 0
    #: Copies of accepted proofs that were refused.
    replays_refused: int = 0
    #: Requests that were accepted, by server and kind of proof.
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    #: What must not happen, in words.
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(
        self, url: str, answers: list[requests.Response], *, mode: Mode = "asymmetric"
    ) -> requests.Response:
        """Count the answers to the copies of one request; return the one that counts.

        A copy may be answered with a new nonce before the others are looked at, while
        one is accepted. But there is no second success, and no other refusal.
        """
        good = [answer for answer in answers if answer.ok]
        errors = Counter(_error(answer) for answer in answers if not answer.ok)
        with self._lock:
            self.statuses.update(answer.status_code for answer in answers)
            if len(good) > 1:
                self.faults.append(f"accepted {len(good)} times: {url}")
            unexpected = {
                error for error in errors if error not in (*REPLAY, *CHALLENGE)
            }
            if unexpected:
                self.faults.append(f"{sorted(unexpected)}: {url}")
            if good:
                self.accepted += 1
                self.replays_refused += sum(errors[error] for error in REPLAY)
                self.kinds[_kind(good[0], mode)] += 1
            elif any(errors[error] for error in CHALLENGE):
                self.challenged += 1
            else:
                self.faults.append(f"not accepted at all, {dict(errors)}: {url}")
        challenges = [a for a in answers if not a.ok and _error(a) in CHALLENGE]
        return (good or challenges or answers)[0]


#: What a second copy is told: it was used, as a proof or as an assertion.
REPLAY = ("invalid_dpop_proof", "invalid_client")
CHALLENGE = ("use_dpop_nonce", "use_dpop_asymmetric")


class Repeating(HTTPAdapter):
    """Sends every request *copies* times at once, over connections of its own."""

    def __init__(
        self, tally: Tally, pool: ThreadPoolExecutor, *, copies: int, mode: Mode
    ) -> None:
        super().__init__(pool_maxsize=copies)
        self._mode: Mode = mode
        self._tally = tally
        self._executor = pool
        self._copies = copies

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        send = super().send
        copy = request.copy()
        # Written once: a signed request has a new proof each time.
        copy.headers = CaseInsensitiveDict(request.headers.items())
        futures = [
            self._executor.submit(send, copy, *args, **kwargs)
            for _ in range(self._copies)
        ]
        answers = [future.result() for future in futures]
        answer = self._tally.judge(request.url, answers, mode=self._mode)
        answer.request = request
        return answer


class Traffic:
    """Some clients that use the servers until they are told to stop.

    :param each: clients of each mode, each in a thread of its own.
    :param copies: of each request.
    """

    def __init__(self, servers: Topology, *, each: int, copies: int) -> None:
        self.tally = Tally()
        self._servers = servers
        self._copies = copies
        self._stop = threading.Event()
        modes: list[Mode] = [*get_args(Mode)] * each
        self._pool = ThreadPoolExecutor(len(modes) * copies)
        self._threads = [
            threading.Thread(target=self._run, args=(mode,)) for mode in modes
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> Tally:
        """End; return the outcome."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown()
        return self.tally

    @property
    def is_running(self) -> bool:
        """Whether all clients are at it."""
        return all(thread.is_alive() for thread in self._threads)

    def _run(self, mode: Mode) -> None:
        try:
            self._use(mode)
        except Exception as error:  # noqa: BLE001 - it is a result
            self.tally.faults.append(f"a client gave up: {error!r}")

    def _use(self, mode: Mode) -> None:
        servers = self._servers
        signer = ProofSigner.generate(
            symmetric="never" if mode == "asymmetric" else "prefer"
        )
        if mode == "ticket":
            signer.use_tickets(_ticket_server(servers))
        # Without them, the token comes without a key.
        has_key = mode == "symmetric"
        with OAuth2Session(
            CLIENT_ID,
            dpop=signer,
            token_endpoint=f"{servers.issuer}/token",
            token_endpoint_auth_method="none",
            refresh="foreground",
            issuer=servers.issuer if has_key else None,
            resource=servers.resource if has_key else None,
        ) as session:
            session.trust_env = False
            session.mount(
                "http://",
                Repeating(self.tally, self._pool, copies=self._copies, mode=mode),
            )
            while not self._stop.is_set():
                session.fetch_token(
                    grant_type="client_credentials", **_assertion(servers)
                )
                for _ in range(TOKEN_EVERY):
                    if self._stop.is_set():
                        return
                    session.get(f"{servers.resource}/api/accounts")


def _ticket_server(servers: Topology) -> TicketServer:
    url = f"{servers.resource}/.well-known/oauth-protected-resource"
    server = TicketServer.of_metadata(
        requests.get(url, timeout=PATIENCE).json(),
        issuer=servers.issuer,
        client_id=CLIENT_ID,
    )
    assert server is not None
    return server


def _assertion(servers: Topology) -> dict[str, str]:
    claims = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": servers.issuer,
        "exp": int(time.time()) + 60,
        "jti": secrets.token_urlsafe(),
    }
    text = sign_compact({"alg": "ES256", "kid": "k1"}, claims, CLIENT_KEY)
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}


def _error(answer: requests.Response) -> str:
    try:
        error: str = answer.json()["error"]
    except (ValueError, KeyError):
        return str(answer.status_code)
    return error if answer.status_code in (400, 401) else str(answer.status_code)


def _kind(answer: requests.Response, mode: Mode) -> str:
    body = answer.json()
    if "proof" not in body:
        return "AS"
    by_ticket = body["proof"] == "symmetric" and mode == "ticket"
    return "RS, ticket" if by_ticket else f"RS, {body['proof']}"
