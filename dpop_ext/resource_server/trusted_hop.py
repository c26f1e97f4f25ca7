"""Whom to believe about the request that a gateway was sent, and where it says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from dpop_ext.resource_server.credentials import ResourceRequest
from dpop_ext.resource_server.refusal import AccessRefusedError, Refusal

#: The peer of a Unix domain socket, which has no address.
UNIX_SOCKET: Final = "unix"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedFields:
    """The header fields in which a gateway names the request that it was sent.

    :param method: field with the method.
    :param target: field with the request target as it was sent, with its escapes; an
        absolute URL does, of which the path and the query count.
    """

    method: str
    target: str


#: What ``docs/gateway.md`` makes nginx send to an ``auth_request`` location.
NGINX: Final = ForwardedFields(method="X-Original-Method", target="X-Original-URI")
#: What Traefik (``forwardAuth``) and Caddy (``forward_auth``) send by themselves.
TRAEFIK: Final = ForwardedFields(method="X-Forwarded-Method", target="X-Forwarded-Uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPrefix:
    """The question has method and target of the original, after a prefix.

    That is how Envoy asks (``ext_authz``, ``path_prefix``).

    :param prefix: such as ``/check``; a target without it is none of the gateway's.
    """

    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subrequest:
    """What a gateway asks, as the server received it."""

    #: The question itself. Its ``Authorization`` and ``DPoP`` fields are the client's.
    request: ResourceRequest
    #: Address that it came from; None or empty for a Unix domain socket.
    peer: str | None
    #: Returns the lines of a header field.
    values: Callable[[str], tuple[str, ...]] = field(repr=False)


class TrustedHop:
    """The gateway, which alone is believed.

    It must set both fields on *every* question, since else it hands on what a client
    made up. Whatever else reaches this server from *peers* is believed like the
    gateway, so its address must be one that nobody else can call from: a Unix domain
    socket, a loopback address, a network of its own. Middleware that takes the address
    from a header field (``X-Forwarded-For``) must not stand before this.

    :param peers: addresses and networks that the gateway asks from, such as
        ``127.0.0.1`` or ``10.1.0.0/24``; :data:`UNIX_SOCKET`. There is no default.
    :param names: where it names the original request.
    :raises ValueError: none, or one that is no address.
    """

    def __init__(
        self, peers: Iterable[str], *, names: ForwardedFields | PathPrefix
    ) -> None:
        given = [peers] if isinstance(peers, str) else list(peers)
        if not given:
            raise ValueError("name the addresses that the gateway asks from")
        self._takes_socket = UNIX_SOCKET in given
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(peer) for peer in given if peer != UNIX_SOCKET
        ]
        self._names = names

    def read(self, subrequest: Subrequest) -> tuple[str, str]:
        """Return method and target of the request that the gateway was sent.

        :raises AccessRefusedError: somebody else asks (403), or the gateway does not
            name a request (503): then it has to be configured.
        """
        if not self._trusts(subrequest.peer):
            raise AccessRefusedError(
                Refusal(status=403, reason="untrusted_hop", schemes=())
            )
        names, request = self._names, subrequest.request
        if isinstance(names, PathPrefix):
            path = request.raw_target.removeprefix(names.prefix)
            rest = len(request.raw_target) - len(names.prefix) == len(path)
            if not rest or not path.startswith("/"):
                raise AccessRefusedError(_not_named())
            return request.method, path
        methods = subrequest.values(names.method)
        targets = subrequest.values(names.target)
        if len(methods) != 1 or len(targets) != 1 or not methods[0] or not targets[0]:
            raise AccessRefusedError(_not_named())
        return methods[0], targets[0]

    def _trusts(self, peer: str | None) -> bool:
        if not peer:
            return self._takes_socket
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _not_named() -> Refusal:
    return Refusal(status=503, reason="not_forwarded", schemes=())
