"""Header fields that keep pages out of frames, caches and scripts (RFC 9700 4.16)."""

from __future__ import annotations

from flask import Flask, Response


def register(app: Flask) -> None:
    """Add the fields to every answer of *app*."""

    @app.after_request
    def add(response: Response) -> Response:
        policy = response.content_security_policy
        policy.default_src = "'none'"
        policy.style_src = "'self'"
        policy.img_src = "'self'"
        policy.base_uri = "'none'"
        policy.frame_ancestors = "'none'"
        if policy.form_action is None:
            policy.form_action = "'self'"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["X-Content-Type-Options"] = "nosniff"
        # The URL of a page of ours holds the parameters of a client.
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
