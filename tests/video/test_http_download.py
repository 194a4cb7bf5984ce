"""Downloads over HTTP: what is cached where, and what resumes, against servers that stop, change or fall silent."""

import functools
import http.server
import re
import time
from pathlib import Path

import pytest

from helpers.web import serving
from video_rs.lists.records import read_records
from video_rs.video import DecodeError, open_video
from video_rs.video.fetching import local_copy


def test_equal_paths_of_two_servers_are_two_files(server, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.mp4").write_bytes(b"of the other")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(other))
    with serving(handler) as second:
        first, copy = local_copy(f"{server}/a.mp4"), local_copy(f"{second}/a.mp4")
    assert Path(first).read_bytes() == (folder / "a.mp4").read_bytes()
    assert Path(copy).read_bytes() == b"of the other"


class Halting(http.server.SimpleHTTPRequestHandler):
    """Knows ranges; sends ``most`` bytes of what it was asked for, then closes or falls silent."""

    most, silent, asked, tag = 10**9, False, [], '"one"'

    def do_GET(self):
        data = Path(self.directory, self.path.lstrip("/").partition("?")[0]).read_bytes()
        wanted = self.headers.get("Range", "")
        type(self).asked.append((wanted, self.headers.get("If-Range", "")))
        start = int(wanted[6:-1]) if wanted and self.headers["If-Range"] == self.tag else 0
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", self.tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[start : start + self.most])
        self.wfile.flush()
        while type(self).silent:
            time.sleep(0.01)

    def log_message(self, *_):
        pass


@pytest.fixture
def halting(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Halting, "asked", [])
    with serving(functools.partial(Halting, directory=str(folder))) as address:
        yield address
        Halting.silent = False


def test_a_fetch_that_was_stopped_goes_on_where_it_was(halting, folder, monkeypatch, capfd):
    whole = (folder / "shard.tar").read_bytes()
    monkeypatch.setattr(Halting, "most", 1000)
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"cannot be fetched: the server ended after 1000 of \d+ bytes"):
            local_copy(f"{halting}/shard.tar")
    monkeypatch.setattr(Halting, "most", 10**9)
    path = Path(local_copy(f"{halting}/shard.tar"))
    assert path.read_bytes() == whole
    assert Halting.asked == [("", ""), ("bytes=1000-", '"one"'), ("bytes=2000-", '"one"')]
    assert sorted(path.parent.iterdir()) == [path, Path(f"{path}.lock")]
    assert re.fullmatch(r"shard_[0-9a-f]{32}\.tar", path.name)
    assert capfd.readouterr() == ("", "")  # no progress bar


def test_a_fetch_of_a_file_that_changed_begins_anew(halting, folder, monkeypatch):
    monkeypatch.setattr(Halting, "most", 1000)
    with pytest.raises(DecodeError, match="ended after 1000"):
        local_copy(f"{halting}/shard.tar")
    monkeypatch.setattr(Halting, "most", 10**9)
    monkeypatch.setattr(Halting, "tag", '"two"')
    assert Path(local_copy(f"{halting}/shard.tar")).read_bytes() == (folder / "shard.tar").read_bytes()


def test_a_fetch_that_was_stopped_at_its_very_end_is_done(halting, folder):
    path = Path(local_copy(f"{halting}/a.mp4"))
    path.rename(f"{path}.part")
    Path(f"{path}.version").write_text('"one"')
    assert Path(local_copy(f"{halting}/a.mp4")).read_bytes() == (folder / "a.mp4").read_bytes()
    assert len(Halting.asked) == 2


class Stubborn(http.server.BaseHTTPRequestHandler):
    """Gives ``answer``, a status with headers and a body, to whoever asks for a range; else the whole ``data``."""

    data, answer, asked, most = b"", (), [], 10**9

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        type(self).asked.append((wanted, self.headers.get("If-Range", "")))
        whole = 200, {"ETag": 'W/"weak"', "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT"}, self.data
        status, headers, body = self.answer if wanted else whole
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[: self.most])

    def log_message(self, *_):
        pass


KEPT = "Tue, 24 Nov 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "body", "asks"),
    [
        (206, {"Content-Range": "bytes 400-999/1000", "Last-Modified": KEPT}, b"n" * 600, 1),
        (206, {"Content-Range": "bytes 400-999/*", "Last-Modified": KEPT}, b"n" * 600, 1),
        (206, {"Content-Range": "bytes 400-599/1000", "Last-Modified": KEPT}, b"n" * 200, 2),
        (206, {"Content-Range": "bytes 0-999/1000", "Last-Modified": KEPT}, b"n" * 1000, 2),
        (206, {"Content-Range": "bytes 400-999/1000", "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT"}, b"o" * 600, 2),
        (206, {"Last-Modified": KEPT}, b"n" * 600, 2),
        (416, {"Content-Range": "bytes */300"}, b"", 2),
        (416, {}, b"", 2),
    ],
    ids=["rest", "unknown-total", "part", "other-start", "other-version", "no-range", "shorter", "no-length"],
)
def test_what_a_server_gives_for_a_range_is_checked(tmp_path, monkeypatch, status, headers, body, asks):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Stubborn, "asked", [])
    monkeypatch.setattr(Stubborn, "data", b"n" * 1000)
    monkeypatch.setattr(Stubborn, "most", 400)
    monkeypatch.setattr(Stubborn, "answer", (status, headers, body))
    with serving(Stubborn) as address:
        url = f"{address}/a.bin"
        with pytest.raises(DecodeError, match="the server ended after 400 of 1000 bytes"):
            local_copy(url)
        monkeypatch.setattr(Stubborn, "most", 10**9)
        whole = Path(local_copy(url)).read_bytes()
    assert whole == b"n" * 1000
    # A weak ETag does not tell bytes: the date does.
    assert Stubborn.asked == [("", ""), ("bytes=400-", KEPT), ("", "")][: 1 + asks]


def test_a_server_that_says_nothing_is_not_waited_for(halting, monkeypatch):
    monkeypatch.setattr("video_rs.video.http_download._SILENCE", 0.2)
    monkeypatch.setattr(Halting, "most", 1000)
    monkeypatch.setattr(Halting, "silent", True)
    with pytest.raises(DecodeError, match=r"cannot be fetched: (The read operation )?timed out"):
        local_copy(f"{halting}/shard.tar")


def test_lists_are_fetched_anew_and_videos_once(halting, folder):
    (folder / "changing.csv").write_text("path,label\na.mp4,x\n")
    assert len(read_records(f"{halting}/changing.csv")) == 1
    (folder / "changing.csv").write_text("path,label\na.mp4,x\nb.mp4,y\n")
    assert len(read_records(f"{halting}/changing.csv")) == 2
    before = len(Halting.asked)
    assert local_copy(f"{halting}/a.mp4") == local_copy(f"{halting}/a.mp4")
    assert len(Halting.asked) == before + 1


def test_long_names_and_queries_have_a_place_of_their_own(halting, folder):
    places = [local_copy(f"{halting}/a.mp4?key={key}") for key in ("1", "2", "x" * 300)]
    assert len({*places, local_copy(f"{halting}/a.mp4")}) == 4
    assert places == [local_copy(f"{halting}/a.mp4?key={key}") for key in ("1", "2", "x" * 300)]
    assert len(Halting.asked) == 4
    with open_video(f"{halting}/a.mp4?key=1") as reader:
        assert reader.num_frames == 14
    with pytest.raises(DecodeError, match="cannot be fetched: "):
        local_copy(f"{halting}/{'é' * 100}.mp4")  # not ASCII: a URL has to quote it


def test_a_url_cannot_leave_the_cache(halting, folder, tmp_path):
    path = Path(local_copy(f"{halting}/../{folder.name}/a.mp4"))
    assert path.read_bytes() == (folder / "a.mp4").read_bytes()
    assert path.resolve().is_relative_to(tmp_path / "cache")


def test_urls_that_differ_in_little_are_files_of_their_own(halting, folder):
    (folder / "v;1").write_bytes(b"one")
    (folder / "v;2").write_bytes(b"two")
    (folder / "v").mkdir()
    (folder / "v" / "e").write_bytes(b"below")
    found = [Path(local_copy(f"{halting}/{name}")).read_bytes() for name in ("v;1", "v;2", "v/e")]
    assert found == [b"one", b"two", b"below"]
