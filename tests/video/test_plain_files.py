"""Files from strangers: those that lead to other files or addresses are not opened."""

import http.server
import shutil

import pytest

from helpers.numbered_videos import numbered
from helpers.web import serving
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video
from video_rs.video.plain_files import require_plain_file

REFUSED = r"no video file, or a damaged one; allowed: MP4, MOV, "


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "film.mp4"
    write_video(path, numbered(8), fps=10)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.flv", "libx264"),
        ("a.ts", "libx264"),
        ("a.mpg", "mpeg2video"),
        ("a.wmv", "wmv2"),
    ],
)
def test_plain_files_are_opened_whatever_they_are_called(tmp_path, name, codec):
    write_video(tmp_path / name, numbered(8), fps=25, codec=codec)
    place = tmp_path / "upload"
    shutil.move(tmp_path / name, place)
    require_plain_file(str(place))
    with open_video(place) as reader:
        assert reader.num_frames == 8


def playlists(film, url):
    """Files that name another file or an address, by what they are."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
    session = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT1S"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    return {
        "hls of a file": hls.format(f"file://{film}"),
        "hls of a path": hls.format(film),
        "hls of an address": hls.format(f"{url}/film.ts"),
        "concat": f"ffconcat version 1.0\nfile '{film}'\n",
        "sdp": session,
        "dash": dash.format(f"{url}/film.mp4"),
        "reference": f"[Reference]\nRef1={url}/film.mp4\n",
        "text": "no film at all\n",
        "picture": "P6\n2 2\n255\n" + "x" * 12,
        "empty": "",
    }


@pytest.fixture(scope="module")
def caught():
    """The address of a server, and what it is asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with serving(Handler) as url:
        yield url, asked


@pytest.mark.parametrize("kind", playlists("", ""))
# What the file claims to be changes nothing.
@pytest.mark.parametrize("name", ["upload", "upload.mp4", "upload.m3u8", "upload.sdp"])
def test_what_leads_elsewhere_is_refused_and_not_followed(film, tmp_path, caught, kind, name):
    url, asked = caught
    path = tmp_path / name
    path.write_text(playlists(film, url)[kind])
    with pytest.raises(DecodeError, match=REFUSED):
        require_plain_file(str(path))
    assert asked == []


def test_a_film_with_a_playlist_behind_it_is_that_film(film, tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(film.read_bytes() + playlists(film, "")["sdp"].encode())
    require_plain_file(str(path))
    with open_video(path) as reader:
        assert reader.num_frames == 8


def test_frames_without_measure_are_refused(film):
    require_plain_file(str(film), most_pixels=48 * 112)
    with pytest.raises(DecodeError, match=r"its frames are 112 x 48; allowed: 5375 pixels"):
        require_plain_file(str(film), most_pixels=48 * 112 - 1)
