"""Who may talk to the studio's server."""

import asyncio

import pytest

from nstjax.studio.access import Access, own_hosts

HOSTS = own_hosts("127.0.0.1", 8000)


async def application(scope, receive, send):
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def asked(headers, token=None, query=""):
    """(status, headers, body) of a request."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
    }
    asyncio.run(Access(application, HOSTS, token)(scope, receive, send))
    answered = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return sent[0]["status"], answered, sent[-1].get("body", b"")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
def test_the_page_itself_is_answered(host):
    headers = {
        "host": host,
        "origin": f"http://{host}",
        "sec-fetch-site": "same-origin",
    }
    status, answered, body = asked(headers)
    assert (status, body) == (200, b"the page")
    policy = answered["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy
    assert answered["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, b"not this server's name"),
        ({"host": "evil.example"}, b"evil.example is not this server's name"),
        ({"host": "127.0.0.1:8001"}, b"not this server's name"),
        (
            {"host": "127.0.0.1:8000", "origin": "http://evil.example"},
            b"another site's",
        ),
        ({"host": "127.0.0.1:8000", "origin": "null"}, b"another site's"),
        (
            {"host": "localhost:8000", "origin": "http://127.0.0.1:8000"},
            b"another site",
        ),
        ({"host": "127.0.0.1:8000", "sec-fetch-site": "cross-site"}, b"another site's"),
        ({"host": "127.0.0.1:8000", "sec-fetch-site": "same-site"}, b"another site's"),
    ],
)
def test_another_site_is_not(headers, says):
    status, answered, body = asked(headers)
    assert status == 403
    assert says in body
    assert "content-security-policy" in answered


def test_a_token_is_asked_for_once():
    host = {"host": "127.0.0.1:8000"}
    for query in ("", "token=", "token=wrong", "other=secret"):
        status, _, body = asked(host, "secret", query)
        assert (status, b"with its token" in body) == (401, True)
    status, answered, _ = asked(host, "secret", "token=secret")
    assert (status, answered["location"]) == (303, "/")
    cookie = answered["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    given = cookie.partition(";")[0]
    assert asked(host | {"cookie": given}, "secret")[2] == b"the page"
    assert asked(host | {"cookie": "nstjax_token=wrong"}, "secret")[0] == 401


def test_a_server_for_others_answers_to_its_own_names():
    assert own_hosts("192.168.1.5", 80) == {"192.168.1.5", "192.168.1.5:80"}
    assert "[::1]:9000" in own_hosts("::", 9000)
