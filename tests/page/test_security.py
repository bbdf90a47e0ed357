"""The page tells browsers to run no script that came in later, and to talk to no other host."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from fakeface.page.security import MIDDLEWARE, make_policy

HTML = '<html><script src="a.js"></script><script data-x>let a = "b";</script>é</html>'


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


async def page(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        data = HTML.encode()
        for at in range(0, len(data), 20):
            yield data[at : at + 20]

    return StreamingResponse(parts(), media_type="text/html")


async def other(request: Request) -> Response:
    return JSONResponse({}) if request.url.path == "/json" else HTMLResponse(HTML)


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/", page), Route("/json", other), Route("/docs", other)]
    return TestClient(Starlette(routes=routes, middleware=[MIDDLEWARE]))


def test_scripts_of_the_page_are_named_by_their_hashes() -> None:
    policy = make_policy(HTML.encode())
    assert hashed('let a = "b";') in policy
    assert policy.count("sha256-") == 1
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'self'"
    assert "unsafe-inline" not in rules["script-src"]
    assert "http" not in policy and "*" not in policy
    assert make_policy(b"").count("script-src 'self' 'unsafe-eval';") == 1


def test_the_page_has_the_header_and_its_whole_text(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.text == HTML
    assert answer.headers["Content-Security-Policy"] == make_policy(HTML.encode())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_other_answers_pass_as_they_are(client: TestClient) -> None:
    for path in ("/json", "/docs"):
        answer = client.get(path)
        assert "Content-Security-Policy" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    with client:  # the messages of a server's start and end are none of HTTP
        assert client.get("/json").json() == {}
