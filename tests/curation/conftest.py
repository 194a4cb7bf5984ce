"""What the tests of data sets as files share: commands in this process, a list of films, a server, packed videos."""

import functools
import http.server
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.films import film
from helpers.numbered_videos import numbered
from helpers.shards import SMALL
from helpers.source_trees import run_script
from video_rs.curation.file_workers import FileWorkers
from video_rs.curation.shards.options import PackOptions
from video_rs.video.fetching import with_handlers

EDGE = Path(__file__).parents[3] / "shared" / "videos"


@pytest.fixture
def in_this_process(monkeypatch):
    """Work on files in this process: workers take seconds to start, and some tests have real ones."""

    @contextmanager
    def results(self, function, tasks, ahead):
        yield (with_handlers(self.path_handlers, function, *task) for task in tasks)

    monkeypatch.setattr(FileWorkers, "results", results)


@pytest.fixture
def prepare(in_this_process):
    """``prepare(*arguments)`` runs ``tools/prepare_videos.py`` and works on the files in this process too."""
    return functools.partial(run_script, "prepare_videos")


@pytest.fixture
def prepare_in_workers():
    """``prepare_in_workers(*arguments)`` runs ``tools/prepare_videos.py`` with its own processes."""
    return functools.partial(run_script, "prepare_videos")


@pytest.fixture
def pack():
    """``pack(*arguments)`` runs ``tools/pack_shards.py`` in this process."""
    return functools.partial(run_script, "pack_shards")


@pytest.fixture
def edge_list():
    """The list of the public edge files, which a checkout need not have."""
    path = EDGE / "edge.csv"
    if not path.exists():
        pytest.skip("the edge files are not there")
    return path


@pytest.fixture
def film_list(tmp_path):
    """The folder of a list: five rows of three videos of one name, one of them outside; and a video that is none."""
    root = tmp_path / "root"
    elsewhere = tmp_path / "elsewhere"
    for number, folder in enumerate((root / "a", root / "b, c", elsewhere)):
        folder.mkdir(parents=True)
        film(folder / "x.mp4", numbered(10 + number))
    film(root / "a" / "x.avi", numbered(5), codec="mpeg4")
    (root / "broken.mp4").write_text("no video")
    lines = [
        "note,path,label,split,start,end,id",
        "n,a/x.mp4,walk,train,,,one",
        'n,"b, c/x.mp4",run;walk,val,0.1,0.3,two',
        f"n,{elsewhere}/x.mp4,run,train,,0.2,three",
        "n,broken.mp4,run,train,,,four",
        "n,a/../a/x.mp4,run,train,0.2,,five",
        "n,a/x.avi,run,train,,,six",
    ]
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def server(tmp_path, monkeypatch):
    """``HOST:PORT`` of an HTTP server over the folder ``web``; iopath caches below the test's own folder."""
    (tmp_path / "web").mkdir()
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def packed(videos, tmp_path_factory):
    """The folder of the 8 training and 4 validation clips, packed in shards of two."""
    pytest.importorskip("webdataset")
    from video_rs.curation.shards.packing import run_packing

    out = tmp_path_factory.mktemp("packed") / "out"
    assert run_packing(PackOptions(str(videos), str(out), shard_size=SMALL)).done == 12
    return out
