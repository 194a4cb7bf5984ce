"""The clips of the demo: written where they are missing, left behind where another list is trained on."""

from video_rs.config import load_config
from video_rs.runs import demo
from video_rs.runs.demo import without_demo, write_demo_clips


def test_missing_demo_clips_are_written_and_announced_once(tmp_path, monkeypatch, capsys):
    made = []

    def small_demo(folder):
        made.append(folder)
        folder.mkdir()
        (folder / "motion_demo.json").write_text("{}")
        return folder / "motion_demo.csv"

    monkeypatch.setattr(demo, "make_motion_demo", small_demo)
    config = load_config("", {"DATA.DEMO": "motion", "DATA.TRAIN_LIST": str(tmp_path / "demo/motion_demo.csv")})
    write_demo_clips(config)
    write_demo_clips(config)
    said = f"the demo clips are missing and are written to {tmp_path}/demo: about half a minute\n"
    assert capsys.readouterr().out == said
    assert made == [tmp_path / "demo"]


def test_another_list_leaves_the_demo_behind(capsys):
    own = load_config("motion_demo")
    assert without_demo(own) is own

    both = load_config("motion_demo", {"DATA.TRAIN_LIST": "mine.csv", "DATA.VAL_LIST": "mine.csv"})
    assert changed(both, without_demo(both)) == {"DATA.DEMO", "DATA.LABEL_MAP"}
    assert capsys.readouterr().out == ""

    one = load_config("motion_demo", {"DATA.TRAIN_LIST": "mine.csv", "DATA.LABEL_MAP": "mine.txt"})
    trained = without_demo(one)
    assert changed(one, trained) == {"DATA.DEMO", "DATA.VAL_LIST"}
    assert (trained.DATA.VAL_LIST, trained.DATA.LABEL_MAP) == ("", "mine.txt")
    said = "note: without validation, as the demo's videos are none of mine.csv; set DATA.VAL_LIST for one\n"
    assert capsys.readouterr().out == said


def changed(before, after):
    return {key for key, value in before.flat().items() if value != after.flat()[key]}
