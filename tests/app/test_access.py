"""Other sites, and whoever has no token, cannot use the server."""

import re
import socket
from urllib.parse import unquote

import pytest

from recolor.app.access import TOKEN_HEADER, Access, _link_without_token, _Request
from recolor.app.server import _listening, page_link

TOKEN = "the-token-of-this-server"
LOCAL = "127.0.0.1:8710"


@pytest.mark.parametrize("host", [LOCAL, "localhost:8710", "[::1]:8710", "127.0.0.1"])
def test_this_machine_reads_without_a_token(connect, host):
    assert connect(headers={"host": host}).get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8710", "192.168.0.9:8710", "127.0.0.1.evil.example", ""]
)
def test_a_name_that_was_made_to_lead_here_is_refused(connect, host):
    answer = connect(headers={"host": host}).get("/api/session")
    assert answer.status_code == 403
    assert TOKEN not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_changes_need_the_token(connect, method, token):
    headers = {} if token is None else {TOKEN_HEADER: token}
    assert connect(headers=headers).request(method, "/api/photographs/1").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_another_site_changes_nothing_even_with_the_token(connect, headers):
    assert connect(headers={TOKEN_HEADER: TOKEN, **headers}).delete("/api/photographs/1").status_code == 403


def test_the_page_itself_changes_things(connect):
    headers = {TOKEN_HEADER: TOKEN, "origin": f"http://{LOCAL}", "sec-fetch-site": "same-origin"}
    assert connect(headers=headers).delete("/api/photographs/1").status_code == 204


def test_another_site_may_link_to_the_page_but_not_read_it_or_its_pictures(connect):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert connect(headers=link).get("/").status_code == 200
    for mode in ("no-cors", "cors", "same-origin"):
        picture = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}
        assert connect(headers=picture).get("/api/session").status_code == 403


def test_pages_load_nothing_from_elsewhere_and_stand_in_no_frame(client):
    for path in ("/", "/decide", "/static/app.css", "/api/session"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    for path in ("/", "/decide", "/static/app.css", "/static/colour.js", "/static/decide.js", "/static/session.js"):
        assert "http://" not in client.get(path).text.replace("http://www.w3.org", "")
        assert "https://" not in client.get(path).text


@pytest.mark.parametrize("path", ["/", "/decide", "/static/app.css", "/api/session", "/api/photographs/1/before"])
def test_others_in_the_network_see_nothing_without_the_link(connect, path):
    answer = connect("0.0.0.0", headers={"host": "192.168.0.9:8710"}).get(path)
    assert answer.status_code == 401
    assert "recolor app" in answer.text


def test_the_link_gives_a_cookie_and_leaves_the_token_out_of_the_address(connect):
    client = connect("0.0.0.0", headers={"host": "192.168.0.9:8710"}, base_url="http://192.168.0.9:8710")
    answer = client.get("/", params={"token": TOKEN, "x": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?x=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/").status_code == 200
    assert client.get("/api/session").json()["token"] == TOKEN


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], "é"])
def test_a_wrong_link_or_cookie_opens_nothing(connect, token):
    client = connect("0.0.0.0", headers={"host": "192.168.0.9:8710"})
    assert client.get("/", params={"token": token}).status_code == 401
    assert client.get("/", headers={"cookie": f'recolor_token="{token.encode().hex()}"'}).status_code == 401


def test_in_the_network_only_numbers_and_the_name_of_the_machine_are_answered(connect):
    for host, status in (("192.168.0.9:8710", 200), ("[fe80::1]:8710", 200), ("evil.example:8710", 403)):
        assert connect("0.0.0.0", headers={"host": host, TOKEN_HEADER: TOKEN}).get("/").status_code == status


def test_the_link_holds_the_token_only_if_others_can_reach_the_page():
    assert page_link(Access("127.0.0.1", TOKEN), 80) == "http://127.0.0.1:80/"
    assert page_link(Access("192.168.0.9", "abc"), 80) == "http://192.168.0.9:80/?token=abc"
    assert page_link(Access("fe80::1", "abc"), 80) == "http://[fe80::1]:80/?token=abc"
    assert "0.0.0.0" not in page_link(Access("0.0.0.0", "abc"), 80)


@pytest.mark.parametrize("host", ["", "0", "0.0.0.0", "::"])
def test_the_link_of_a_server_for_every_address_reaches_it(host):
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with _listening(host, 0) as listening:
        port = listening.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert re.fullmatch(rf"http://[\w.-]{{2,}}:{port}/\?token=abc", page_link(Access(host, "abc"), port))


def test_every_server_has_another_token():
    assert len({Access().token for _ in range(20)}) == 20


def test_requests_that_are_too_large_or_of_unknown_size_are_refused(client):
    headers = {"content-type": "application/json"}
    assert client.post("/api/downloads", content=b"x" * (33 << 20), headers=headers).status_code == 413
    assert client.post("/api/downloads", content=iter([b"{}"]), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/static/../application.py", "/static/colour.html", "/etc/passwd"]
)
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/nothing", 404), ("PATCH", "/api/downloads", 405), ("POST", "/api/downloads", 400)],
)
def test_every_refusal_is_told_as_the_page_reads_it(client, method, path, status):
    headers = {"content-type": "application/json"}
    answer = client.request(method, path, content="[" * 100_000 if method == "POST" else None, headers=headers)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    ("path", "location"),
    [("//evil.example/", "/evil.example/"), ("/%E2%82%AC", "/%E2%82%AC"), ("/%0D%0Ax", "/%0D%0Ax")],
)
def test_the_link_leads_to_this_server_only(path, location):
    scope = {"method": "GET", "path": unquote(path), "query_string": f"token={TOKEN}".encode(), "headers": []}
    assert _link_without_token(_Request.of(scope), Access("0.0.0.0", TOKEN)) == location
