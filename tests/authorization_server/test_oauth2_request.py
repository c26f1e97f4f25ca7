"""What Authlib keeps of a request to Flask."""

from __future__ import annotations

from functools import wraps
from itertools import product
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Request
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InsecureTransportError
from flask import Flask, Request
from flask import request as proxy
from werkzeug.exceptions import HTTPException

from dpop_ext.authorization_server.oauth2_request import making_requests

HOSTS = [
    *("as", "as.example", "AS.example", "as.example:443", "as.example:8443", "a..b"),
    *("localhost", "127.0.0.1", "[::1]", "[::1]:81", "xn--n3h.net", "a.xn--n3h.net"),
    *("as.", ".as", "-as", "a_b", "as:0080", "as:", "as:0", "as@b", "as/b", "as,as"),
    *("as:99999", "xn--", "xn--\xe9", "\xe9.example", "", "a b", "a" * 64),
]
PATHS = [
    *("/", "/token", "//token", "///", "/a//b/", "/a/../b", "/a%2Fb", "/%41", "/%"),
    *("/a;b=c", "/a:b", "/a?b", "/a#b", "/~a_-.", "/xn--n3h", "token", "/\xc3\xa9"),
    *("", "/a b"),
]


class _Server(AuthorizationServer):
    def create_oauth2_request(self, request: Any) -> Any:
        created = super().create_oauth2_request(request)
        created.is_own = True
        return created


class _Wrapping(AuthorizationServer):
    @wraps(AuthorizationServer.create_oauth2_request)
    def create_oauth2_request(self, request: Any) -> Any:
        created = super().create_oauth2_request(request)
        created.is_own = True
        return created


def _asked(app: Flask, **options: Any) -> Any:
    return app.test_request_context("/token?a=1", base_url="https://as", **options)


@pytest.mark.parametrize("headers", [{}, {"DPoP": "x", "X-Other": "y"}])
def test_a_request_is_what_authlib_makes_of_it(headers: dict[str, str]) -> None:
    app = Flask(__name__)
    create = making_requests(AuthorizationServer(app))
    with _asked(app, method="POST", data={"b": "2"}, headers=headers):
        ours, other = create(None), FlaskOAuth2Request(proxy)
        assert type(ours) is FlaskOAuth2Request
        mine, theirs = dict(vars(ours)), dict(vars(other))
        payloads = mine.pop("payload"), theirs.pop("payload")
        assert mine == theirs
        assert type(payloads[0]) is type(payloads[1])
        assert payloads[0].datalist == payloads[1].datalist == {"a": ["1"], "b": ["2"]}
        assert (ours.form, ours.args) == (other.form, other.args)


@pytest.mark.parametrize("host", HOSTS)
def test_the_url_is_the_one_of_flask(host: str) -> None:
    app = Flask(__name__)
    create = making_requests(AuthorizationServer(app))
    with _asked(app) as context:
        usual = context.request.environ | {"HTTP_HOST": host}
    for path, query, root in product(PATHS, ("", "a=b"), ("", "/root", "/")):
        changes = {"PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": root}
        found = []
        for make in (create, lambda _: FlaskOAuth2Request(proxy)):
            with app.request_context(usual | changes):
                try:
                    found.append(make(None).uri)
                except (HTTPException, OAuth2Error, ValueError) as error:
                    found.append((type(error), str(error)))
        assert found[0] == found[1]


def test_the_url_may_be_one_of_the_application() -> None:
    class Outside(Request):
        url = "https://outside/token"

    app = Flask(__name__)
    app.request_class = Outside
    create = making_requests(AuthorizationServer(app))
    with app.test_request_context("/token", base_url="https://as"):
        assert create(None).uri == Outside.url


def test_no_attribute_of_a_request_is_looked_up_by_the_proxy() -> None:
    app = Flask(__name__)
    for server in (AuthorizationServer(app), _Server(app)):
        create = making_requests(server)
        with _asked(app):
            created = create(None)
            assert created._request is created.payload._request is not proxy
            assert created._request == proxy
            assert getattr(created, "is_own", False) is isinstance(server, _Server)


def test_what_is_wrapped_around_the_method_of_authlib_is_called() -> None:
    app = Flask(__name__)
    usual = AuthorizationServer(app)

    @wraps(usual.create_oauth2_request)
    def create_request(request: Any) -> Any:
        return AuthorizationServer.create_oauth2_request(usual, request), "own"

    patched = AuthorizationServer(app)
    patched.create_oauth2_request = create_request
    with _asked(app):
        assert making_requests(_Wrapping(app))(None).is_own
        assert making_requests(patched)(None)[1] == "own"


def test_plain_http_is_refused_as_by_authlib() -> None:
    app = Flask(__name__)
    create = making_requests(AuthorizationServer(app))
    with app.test_request_context("/token", base_url="http://as"):
        with pytest.raises(InsecureTransportError):
            FlaskOAuth2Request(proxy)
        with pytest.raises(InsecureTransportError):
            create(None)


def test_a_request_of_another_framework_is_left_as_it_is() -> None:
    class Other:
        def create_oauth2_request(self, request: Any) -> Any:
            return request

    request = object()
    assert making_requests(Other())(request) is request
