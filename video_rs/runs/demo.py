"""The clips of the embedded demo: written where they are missing, left out where another list is trained on."""

from pathlib import Path

from video_rs.config import Config, config_from_text, load_config
from video_rs.curation.motion_demo.data_set import make_motion_demo
from video_rs.runtime import distributed
from video_rs.runtime.progress import print_line

DEMO_LIST = "motion_demo.csv"
# Options of the demo's config that belong to its clips.
DEMO_KEYS = ("DATA.DEMO", "DATA.VAL_LIST", "DATA.LABEL_MAP")


def with_demo_clips(config: Config) -> Config:
    """Write the demo's clips where a config asks for them, and return the config, without the demo where it does not.

    One process of each machine writes the clips: they may lie on its own disk.
    """
    config = without_demo(config)
    if distributed.local_rank() == 0:
        write_demo_clips(config)
    distributed.barrier()
    return config


def without_demo(config: Config) -> Config:
    """Return the config without what belongs to the demo's clips where DATA.TRAIN_LIST is another list than theirs."""
    if config.DATA.DEMO != "motion" or Path(config.DATA.TRAIN_LIST).name == DEMO_LIST:
        return config

    own = config.flat()
    demo = load_config("motion_demo").flat()
    # What somebody has set to another value is meant, and stays.
    left_out = {key: "" for key in DEMO_KEYS if own[key] == demo[key]}
    if "DATA.VAL_LIST" in left_out:
        print_line(
            f"note: without validation, as the demo's videos are none of {config.DATA.TRAIN_LIST}; set DATA.VAL_LIST "
            "for one"
        )
    return config_from_text(config.dump(), left_out)


def write_demo_clips(config: Config) -> None:
    """Write the clips that DATA.DEMO asks for where they are not complete."""
    folder = Path(config.DATA.TRAIN_LIST).parent
    if config.DATA.DEMO != "motion" or (folder / "motion_demo.json").is_file():
        return
    print_line(f"the demo clips are missing and are written to {folder}: about half a minute")
    make_motion_demo(folder)
