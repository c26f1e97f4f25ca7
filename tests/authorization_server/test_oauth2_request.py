"""What Authlib keeps of a request to Flask."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Request
from authlib.oauth2.rfc6749.errors import InsecureTransportError
from flask import Flask
from flask import request as proxy

from dpop_ext.authorization_server.oauth2_request import making_requests


class _Server(AuthorizationServer):
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


def test_no_attribute_of_a_request_is_looked_up_by_the_proxy() -> None:
    app = Flask(__name__)
    for server in (AuthorizationServer(app), _Server(app)):
        create = making_requests(server)
        with _asked(app):
            created = create(None)
            assert created._request is created.payload._request is not proxy
            assert created._request == proxy
            assert getattr(created, "is_own", False) is isinstance(server, _Server)


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
