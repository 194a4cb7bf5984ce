"""Every key of the configuration reaches the object that it is for."""

import pytest
import torch

from helpers.configs import build
from helpers.videos import make_videos
from video_rs import builders
from video_rs.builders import build_failure_limit, build_non_finite_limit
from video_rs.config import OPTIONS, config_from_text, load_config, stored_config
from video_rs.data.mixing import Mixing
from video_rs.engine.batch_norm import is_synchronized
from video_rs.runtime.errors import InputError
from video_rs.video.probing.cache import ProbeCache


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two training and four validation videos."""
    return make_videos(tmp_path_factory.mktemp("two"), per_class=1)


# key -> (value, what the built objects must say). The lambdas take a Training.
REACHES = {
    "OUTPUT_DIR": ("elsewhere", lambda run: run.config.OUTPUT_DIR == "elsewhere"),
    "RNG_SEED": ("7", lambda run: run.step.seed == run.loader(0).read.seed == 7),
    "DEVICE": ("cpu", lambda run: run.device.type == "cpu"),
    "MODEL.ARCH": ("r3d_rs_small", lambda run: run.step.model.backbone.architecture.depths == (2, 2, 2, 2)),
    "MODEL.NUM_CLASSES": ("6", lambda run: run.step.model.fc.out_features == len(run.lists.label_names) == 6),
    # Loaded when a run starts: tested there, in test_finetuning_job.py.
    "MODEL.PRETRAINED": ("weights.pth", lambda run: run.config.MODEL.PRETRAINED == "weights.pth"),
    "MODEL.INFLATION": ("mean", lambda run: run.config.MODEL.INFLATION == "mean"),
    "MODEL.FROZEN_STAGES": ("1", lambda run: not run.step.model.backbone.stem[0].weight.requires_grad),
    # What it does is tested in test_precise_bn.py.
    "BN.NUM_BATCHES_PRECISE": (None, None),
    "DATA.TRAIN_LIST": (None, lambda run: len(run.lists.train) == 2),
    "DATA.VAL_LIST": ("", lambda run: run.lists.val is None),
    # Pseudo-labels and distillation need a list or a teacher: tested in test_few_labels.py.
    "DATA.PSEUDO_LIST": (None, None),
    "DATA.PSEUDO_SHARE": (None, None),
    "DATA.PSEUDO_TEMPERATURE": (None, None),
    "SOLVER.PSEUDO_WEIGHT": (None, None),
    "DISTILL.TEACHER": (None, None),
    "DISTILL.TEMPERATURE": (None, None),
    "DISTILL.WEIGHT": (None, None),
    # Pre-training takes other objects: tested in test_pretraining.py.
    "CONTRAST.ENABLED": (None, None),
    "CONTRAST.TEMPERATURE": (None, None),
    "CONTRAST.DISTANCE_POWER": (None, None),
    "CONTRAST.HIDDEN_LAYERS": (None, None),
    "CONTRAST.HIDDEN_DIM": (None, None),
    "CONTRAST.PROJECTION_DIM": (None, None),
    "CONTRAST.KNN_LIST": (None, None),
    "CONTRAST.KNN_K": (None, None),
    "DATA.ROOT": ("/somewhere", lambda run: run.lists.train.records[0].path.startswith("/somewhere/")),
    "DATA.LABEL_MAP": ("@light\ndark\n", lambda run: run.lists.label_names == ("light", "dark")),
    "DATA.MULTI_LABEL": ("true", lambda run: run.loader(0).multi_label == 2 and run.identity()["multi_label"]),
    "DATA.DEMO": ("motion", lambda run: run.config.DATA.DEMO == "motion"),
    "DATA.DECODER": ("pyav", lambda run: run.loader(0).read.source.decoder == "pyav"),
    "DATA.NUM_WORKERS": ("3", lambda run: run.loader(0).workers.processes == 3),
    "DATA.PATH_HANDLERS": (
        "helpers.attic:Attic,",
        lambda run: run.loader(0).read.source.path_handlers == ("helpers.attic:Attic",),
    ),
    "DATA.CACHE": (None, None),  # below
    "DATA.TIME_LIMIT": ("7", lambda run: run.loader(0).workers.time_limit == 7),
    "DATA.CLIPS_PER_VIDEO": (
        "2",
        lambda run: run.loader(0).read.clips == 2 and run.loader(0).order.picks_per_micro_batch == 2,
    ),
    "DATA.CLASS_BALANCE": ("0.5", lambda run: run.loader(0).order.epoch_order.keywords.get("balance") == 0.5),
    "DATA.NUM_FRAMES": ("5", lambda run: run.preprocessing.clip.num_frames == run.loader(0).read.clip.num_frames == 5),
    "DATA.SAMPLING_RATE": ("3", lambda run: run.loader(0).read.clip.sampling_rate == 3),
    "DATA.TARGET_FPS": (
        "12.5",
        lambda run: run.loader(0).read.clip.target_fps == run.identity()["preprocessing"]["clip"]["target_fps"] == 12.5,
    ),
    "DATA.START_MULTIPLE": (
        "2",
        lambda run: run.loader(0).read.clip.start_multiple == run.preprocessing.clip.start_multiple == 2,
    ),
    "DATA.CLIP_SAMPLER": ("pytorchvideo", lambda run: run.loader(0).read.clip.clip_sampler == "pytorchvideo"),
    "DATA.SHORT_VIDEO": ("repeat", lambda run: run.loader(0).read.clip.short_video == "repeat"),
    "DATA.TRAIN_CROP": ("short_side", lambda run: run.loader(0).read.transform.crop == "short_side"),
    "DATA.TRAIN_CROP_SIZE": ("100", lambda run: run.loader(0).read.transform.crop_size == 100),
    "DATA.TRAIN_JITTER_AREA": ("[0.3, 0.9]", lambda run: run.loader(0).read.transform.area == (0.3, 0.9)),
    "DATA.TRAIN_JITTER_ASPECT": ("[0.9, 1.1]", lambda run: run.loader(0).read.transform.aspect == (0.9, 1.1)),
    "DATA.TRAIN_JITTER_SCALES": ("[230, 240]", lambda run: run.loader(0).read.transform.short_side == (230, 240)),
    "DATA.RANDOM_FLIP": ("false", lambda run: run.loader(0).read.transform.flip == 0),
    "DATA.ANTIALIAS": (
        "true",
        lambda run: run.loader(0).read.transform.antialias and run.preprocessing.transform.antialias,
    ),
    "DATA.TRAIN_RESIZE": ("quick", lambda run: run.loader(0).read.transform.quick),
    "DATA.TEST_SHORT_SIDE": ("300", lambda run: run.preprocessing.transform.short_side == 300),
    "DATA.TEST_CROP_SIZE": ("200", lambda run: run.preprocessing.transform.crop_size == 200),
    "DATA.MEAN": ("[0.1, 0.2, 0.3]", lambda run: run.preprocessing.mean == (0.1, 0.2, 0.3)),
    "DATA.STD": ("[0.4, 0.5, 0.6]", lambda run: run.preprocessing.std == (0.4, 0.5, 0.6)),
    "DATA.MAX_FAILED_SHARE": ("0.5", lambda run: build_failure_limit(run.config, run.plan).max_share == 0.5),
    "AUG.COLOR_JITTER": ("0.4", lambda run: run.loader(0).read.transform.color_jitter == 0.4),
    "AUG.HUE_JITTER": ("0.1", lambda run: run.loader(0).read.transform.hue_jitter == 0.1),
    "AUG.COLOR_JITTER_PROB": ("0.8", lambda run: run.loader(0).read.transform.color_jitter_prob == 0.8),
    "AUG.GREY": ("0.2", lambda run: run.loader(0).read.transform.grey == 0.2),
    "AUG.BLUR": ("0.5", lambda run: run.loader(0).read.transform.blur == 0.5),
    "AUG.RAND_AUGMENT_LAYERS": ("2", lambda run: run.loader(0).read.transform.rand_augment_layers == 2),
    "AUG.RAND_AUGMENT_MAGNITUDE": ("15", lambda run: run.loader(0).read.transform.rand_augment_magnitude == 15),
    "AUG.RANDOM_ERASING": ("0.25", lambda run: run.loader(0).read.transform.random_erasing == 0.25),
    "AUG.MIXUP_ALPHA": ("0.2", lambda run: run.step.objective.mix == Mixing(mixup_alpha=0.2)),
    "AUG.CUTMIX_ALPHA": ("0.3", lambda run: run.step.objective.mix == Mixing(cutmix_alpha=0.3)),
    "AUG.MIX_PROB": (None, None),  # with an alpha, below
    "TRAIN.BATCH_SIZE": ("6", lambda run: run.plan.batch_size == 6),
    "TRAIN.ACCUMULATION_STEPS": ("2", lambda run: run.plan.micro_batches == 2),
    # What it does is tested in test_memory.py.
    "TRAIN.AUTO_BATCH": (None, None),
    "TRAIN.EVAL_PERIOD": ("3", lambda run: run.plan.validation_epochs == 3),
    "TRAIN.CHECKPOINT_STEPS": ("9", lambda run: run.plan.checkpoint_steps == 9),
    "TRAIN.CHECKPOINT_MINUTES": ("2.5", lambda run: run.plan.checkpoint_minutes == 2.5),
    "TRAIN.KEEP_CHECKPOINTS": ("3", lambda run: run.config.TRAIN.KEEP_CHECKPOINTS == 3),
    "TRAIN.NON_FINITE": ("skip", lambda run: build_non_finite_limit(run.config).allowed == 9),
    "TRAIN.LOG_PERIOD": ("4", lambda run: run.plan.log_steps == 4),
    "TRAIN.PROFILE_STEPS": ("6", lambda run: run.config.TRAIN.PROFILE_STEPS == 6),
    "TRAIN.PRECISION": ("bfloat16", lambda run: run.step.precision == torch.bfloat16),
    "TRAIN.SYNC_BATCH_NORM": ("true", lambda run: is_synchronized(run.step.model)),
    "TRAIN.ACTIVATION_CHECKPOINTING": ("2", lambda run: run.step.model.backbone.checkpointed == ("stem", "res2")),
    "TEST.VIEWS": ("dense", lambda run: run.preprocessing.views == "dense"),
    "TEST.NUM_ENSEMBLE_VIEWS": ("4", lambda run: run.preprocessing.num_clips == 4),
    "TEST.NUM_SPATIAL_CROPS": ("1", lambda run: run.preprocessing.transform.num_crops == 1),
    # Views per forward pass: its effect is tested with the evaluator.
    "TEST.BATCH_SIZE": ("5", lambda run: run.config.TEST.BATCH_SIZE == 5),
    "TEST.KEEP_VIEWS": ("true", lambda run: run.config.TEST.KEEP_VIEWS),
    "TEST.ALSO_AS": ("csv", lambda run: run.config.TEST.ALSO_AS == "csv"),
    "SOLVER.OPTIMIZING_METHOD": ("adamw", lambda run: isinstance(run.step.optimizer, torch.optim.AdamW)),
    "SOLVER.BASE_LR": ("0.3", lambda run: run.step.schedule.base_lr == 0.3),
    "SOLVER.LR_FOR_BATCH_SIZE": ("32", lambda run: run.step.schedule.base_lr == 0.8 * 4 / 32),
    "SOLVER.WARMUP_EPOCHS": ("2", lambda run: run.step.schedule.warmup_steps == 1),
    "SOLVER.MAX_EPOCH": ("10", lambda run: run.plan.total_steps == 5),
    "SOLVER.MAX_STEPS": ("77", lambda run: run.plan.total_steps == 77),
    "SOLVER.LAYER_DECAY": ("0.5", lambda run: run.step.optimizer.param_groups[0]["lr_scale"] == 0.5**5),
    "SOLVER.MOMENTUM": ("0.8", lambda run: run.step.optimizer.defaults["momentum"] == 0.8),
    "SOLVER.NESTEROV": ("false", lambda run: run.step.optimizer.defaults["nesterov"] is False),
    "SOLVER.BETAS": (None, None),  # with AdamW, below
    "SOLVER.WEIGHT_DECAY": (
        "0.01",
        lambda run: [g["weight_decay"] for g in run.step.optimizer.param_groups] == [0.01, 0],
    ),
    "SOLVER.LABEL_SMOOTHING": ("0.2", lambda run: run.step.objective.loss.smoothing == 0.2),
    "SOLVER.CLASS_WEIGHTS": ("0.5", lambda run: run.step.objective.loss.weights is not None),
    "SOLVER.CLIP_GRAD_L2NORM": ("2", lambda run: run.step.clip_norm == 2),
    "SOLVER.EMA_DECAY": ("0.5", lambda run: run.step.average.decay == 0.5),
}


def test_every_option_is_listed_here():
    model_fields = {o.key for o in OPTIONS if o.key.startswith("MODEL.") and o.default is None}
    assert {option.key for option in OPTIONS} - model_fields == set(REACHES)


@pytest.mark.parametrize("key", [key for key, (_, check) in REACHES.items() if check])
def test_option_reaches_its_object(key, two, tmp_path):
    value, check = REACHES[key]
    if isinstance(value, str) and value.startswith("@"):
        (tmp_path / "file.txt").write_text(value[1:])
        value = tmp_path / "file.txt"
    assert check(build(two, {} if value is None else {key: str(value)}))
    if value is not None:
        # The default gives something else, so the check above sees the option and not a constant.
        default = {"DEVICE": "cpu"}
        assert key in default or not check(build(two, {}))


def test_the_probe_cache_reaches_both_readers(two, tmp_path):
    ProbeCache(tmp_path / "probes.sqlite").close()
    run = build(two, {"DATA.CACHE": tmp_path / "probes.sqlite"})
    views = builders.build_view_loader(run.config, run.lists.val, run.preprocessing)
    assert run.loader(0).read.source.cache == views.read.source.cache == str(tmp_path / "probes.sqlite")


def test_the_time_limit_is_for_each_clip_of_a_video(two):
    run = build(two, {"DATA.TIME_LIMIT": "7", "DATA.CLIPS_PER_VIDEO": "2", "TEST.NUM_ENSEMBLE_VIEWS": "10"})
    views = builders.build_view_loader(run.config, run.lists.val, run.preprocessing)
    assert run.loader(0).workers.time_limit == 14
    assert views.workers.time_limit == 70


def test_a_missing_probe_cache_is_refused_when_the_run_is_built(two):
    with pytest.raises(InputError) as caught:
        build(two, {"DATA.CACHE": "/nowhere/probes.sqlite"})
    assert str(caught.value) == (
        "no probe cache /nowhere/probes.sqlite; make it with video-rs check_dataset LIST, or leave DATA.CACHE empty"
    )


def test_adamw_takes_its_betas(two):
    run = build(two, {"SOLVER.OPTIMIZING_METHOD": "adamw", "SOLVER.BETAS": "[0.8, 0.95]"})
    assert run.step.optimizer.defaults["betas"] == (0.8, 0.95)


def test_rare_classes_are_made_up_for_once(two):
    with pytest.raises(InputError) as caught:
        build(two, {"SOLVER.CLASS_WEIGHTS": "1", "DATA.CLASS_BALANCE": "0.5"})
    assert str(caught.value) == (
        "SOLVER.CLASS_WEIGHTS 1 and DATA.CLASS_BALANCE 0.5 both make up for rare classes; set one of them to 0"
    )


def test_mixing_takes_its_probability(two):
    run = build(two, {"AUG.MIXUP_ALPHA": "0.2", "AUG.CUTMIX_ALPHA": "1", "AUG.MIX_PROB": "0.4"})
    assert run.step.objective.mix == Mixing(0.2, 1.0, 0.4)
    assert run.step.objective.loss.num_classes == len(run.lists.label_names) == run.step.model.fc.out_features


@pytest.mark.parametrize("overrides", [{}, {"AUG.MIX_PROB": "0.5"}, {"AUG.MIXUP_ALPHA": "0.2", "AUG.MIX_PROB": "0"}])
def test_mixing_that_mixes_nothing_is_none(overrides):
    assert builders.build_mixing(load_config("", overrides)) is None


def test_model_keys_override_the_architecture():
    config = load_config("", {"MODEL.SE_RATIO": "0.2", "MODEL.TEMPORAL_KERNELS": "[1, 3, 3, 3]"})
    arch = builders.build_architecture(config)
    assert (arch.se_ratio, arch.temporal_kernels, arch.depths) == (0.2, (1, 3, 3, 3), (3, 4, 6, 3))


def test_the_published_recipe_has_73682_steps_with_1050_of_warm_up():
    config = load_config("kinetics_rs")
    plan = builders.build_plan(config, 215570)
    assert (plan.total_steps, builders.build_schedule(config, plan).warmup_steps) == (73682, 1050)


def test_precision_auto_is_float32_on_a_cpu_before_it_is_tried():
    assert builders.build_precision(load_config(""), torch.device("cpu")) == torch.float32


def test_float16_on_a_cpu_is_refused():
    config = load_config("", {"TRAIN.PRECISION": "float16"})
    with pytest.raises(InputError) as caught:
        builders.build_precision(config, torch.device("cpu"))
    assert str(caught.value) == (
        "TRAIN.PRECISION float16 is for GPUs, and this run computes on a CPU; set TRAIN.PRECISION auto, float32 or "
        "bfloat16"
    )
    assert builders.build_precision(config, torch.device("cuda")) == torch.float16


def test_validation_takes_one_centre_view():
    one = builders.build_preprocessing(load_config("")).single_view()
    assert (one.num_clips, one.transform.num_crops) == (1, 1)


def test_preprocessing_survives_its_plain_form():
    config = load_config(
        "", {"DATA.MEAN": "[0.1, 0.2, 0.3]", "DATA.SHORT_VIDEO": "repeat", "TEST.NUM_SPATIAL_CROPS": "1"}
    )
    built = builders.build_preprocessing(config)
    assert type(built).from_dict(built.to_dict()) == built


def test_a_run_keeps_where_its_files_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").touch()
    keys = {
        "DATA.TRAIN_LIST": "list.csv",
        "DATA.VAL_LIST": "https://host/list.csv",
        "DATA.CACHE": "",
        "MODEL.PRETRAINED": "weights.pth",
    }
    kept = config_from_text(stored_config(load_config("", keys)))
    assert (f"{tmp_path}/list.csv", "https://host/list.csv") == (kept.DATA.TRAIN_LIST, kept.DATA.VAL_LIST)
    assert ("", f"{tmp_path}/weights.pth") == (kept.DATA.CACHE, kept.MODEL.PRETRAINED)
    assert f"{tmp_path}/runs/default" == kept.OUTPUT_DIR
    published = load_config("", {**keys, "MODEL.PRETRAINED": "timm"})
    assert config_from_text(stored_config(published)).MODEL.PRETRAINED == "timm"


def test_the_fingerprint_follows_labels_and_order(two, tmp_path):
    same = build(two, {}).lists.fingerprints()
    assert build(two, {}).lists.fingerprints() == same
    lines = two.read_text().splitlines()
    swapped = tmp_path / "swapped.csv"
    swapped.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    other = build(two, {"DATA.TRAIN_LIST": swapped, "DATA.ROOT": two.parent}).lists.fingerprints()
    assert other["train"] != same["train"]
    assert other["val"] == same["val"]


def test_minus_one_worker_is_this_process_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("psutil.Process.cpu_affinity", lambda _: list(range(12)), raising=False)
    default = load_config("")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert builders.build_workers(default).processes == 12
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert builders.build_workers(default).processes == 1
    assert builders.build_workers(load_config("", {"DATA.NUM_WORKERS": "0"})).processes == 0
