"""The small server of pages: who is answered, and who is not."""

import contextlib
import json
import socket
import threading

import pytest

from helpers.pages import ask, post
from video_rs.runtime import web_server
from video_rs.runtime.errors import InputError
from video_rs.runtime.web_server import PageHandler, PageServer, check_address, is_local, names_of


class Echo(PageHandler):
    """Says what it was asked."""

    def get(self, path):
        self.send_json(path)

    def post(self, path, value):
        self.send_json([path, value])


@pytest.fixture
def url():
    with PageServer("127.0.0.1", 0, Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.url
        server.shutdown()


def test_who_knows_the_address_is_answered(url):
    status, content, headers = ask(url, "some/path")
    assert (status, json.loads(content)) == (200, "some/path")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "video_rs"
    assert post(url, "decide", {"a": 1}) == (200, ["decide", {"a": 1}])


@pytest.mark.parametrize("path", ["/", "/wrong/", "/../../etc/passwd", "//etc/passwd", "/%2e%2e/etc/passwd", "/%c3%a9"])
def test_who_does_not_is_not(url, path):
    status, content, _ = ask(url, path)
    assert status == 404
    assert json.loads(content) == {"error": "there is nothing here; open the address that was printed"}


def test_other_names_are_refused(url):
    status, content, _ = ask(url, "", headers={"Host": "evil.example"})
    assert (status, json.loads(content)) == (403, {"error": "this server is not called so"})


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        ("{}", {"Content-Type": "text/plain"}, 415, "send application/json"),
        ("{", {}, 400, "this is no JSON"),
        ("[" * 60_000, {}, 400, "this is no JSON"),
        ("x" * 70_000, {}, 413, "send at most 65536 bytes, and Content-Length"),
        ("{}", {"Content-Length": "-1"}, 413, "send at most 65536 bytes, and Content-Length"),
        ("{}", {"Content-Length": "9" * 5000}, 413, "send at most 65536 bytes, and Content-Length"),
    ],
)
def test_what_is_no_small_json_is_refused(url, body, headers, status, error):
    got, content, _ = ask(url, "x", body, headers={"Content-Type": "application/json", **headers})
    assert (got, json.loads(content)) == (status, {"error": error})


def test_too_many_connections_are_closed_and_later_ones_are_answered(monkeypatch):
    monkeypatch.setattr(web_server, "MOST_CONNECTIONS", 1)
    with PageServer("127.0.0.1", 0, Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with socket.create_connection(("127.0.0.1", server.server_port)) as idle:
            idle.sendall(b"GET")
            with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as second:
                assert second.recv(1) == b""
        status = 0
        while status != 200:
            with contextlib.suppress(OSError):
                status, *_ = ask(server.url, "x")
        server.shutdown()


def test_addresses_that_cannot_be_had():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"cannot listen at 127\.0\.0\.1, port {port} \(.*in use\); take another"):
            check_address("127.0.0.1", port)
    with pytest.raises(InputError, match=r"--port is 70000; allowed: 0 to 65535"):
        check_address("127.0.0.1", 70000)
    with pytest.raises(InputError, match=r"cannot listen at 192\.0\.2\.1, port 0 .*another --host"):
        check_address("192.0.2.1", 0)


def test_which_addresses_are_of_this_machine_alone():
    assert [is_local(host) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")] == [True] * 4
    assert [is_local(host) for host in ("0.0.0.0", "::", "192.168.0.3", "my.host")] == [False] * 4
    assert names_of("127.0.0.1", 80) == {"127.0.0.1:80", "localhost:80", "[::1]:80"}
    assert names_of("0.0.0.0", 80) is None


def test_others_are_told_of(capsys):
    web_server.announce("127.0.0.1", "here", "all is seen")
    assert capsys.readouterr().out == "here\n"
    web_server.announce("0.0.0.0", "here", "all is seen")
    assert capsys.readouterr().out == (
        "note: the page listens on 0.0.0.0, not for this machine alone: all is seen\nhere\n"
    )
