"""Every key of the configuration, once: its default, its meaning with unit, and what is allowed. Data, no code."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One key of the configuration.

    Attributes:
        key: ``GROUP.NAME``, or a name alone.
        default: its value where nobody sets it, and its type. None leaves the value to the architecture.
        meaning: what it does, with its unit.
        choices: the values allowed; empty for any.
        low, high: bounds of each number.
        may_change: whether a resumed run may have another value: the option says where and how, not what.
        is_path: whether it names a file or folder, relative to where a command is called.
    """

    key: str
    default: Any
    meaning: str
    choices: tuple = ()
    low: float = -math.inf
    high: float = math.inf
    may_change: bool = False
    is_path: bool = False

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        if self.high < math.inf:
            return f"{self.low:g} to {self.high:g}"
        if self.low > -math.inf:
            return f"at least {self.low:g}, finite"
        return "finite numbers"

    @property
    def is_bounded(self) -> bool:
        """Whether some numbers are not allowed."""
        return self.low > -math.inf or self.high < math.inf


OPTIONS = (
    Option("OUTPUT_DIR", "runs/default", "folder of the run, made if missing", may_change=True, is_path=True),
    Option("RNG_SEED", 0, "seed of weights, sampling and augmentation", low=0),
    Option(
        "DEVICE",
        "auto",
        "auto takes CUDA, then Apple's MPS, then the CPU",
        ("auto", "cpu", "cuda", "mps"),
        may_change=True,
    ),
    # -- Model. None means the architecture's own value; see video_rs.models.Architecture for each field.
    Option("MODEL.ARCH", "r3d_rs_50", "one of video_rs.list_models()"),
    Option("MODEL.NUM_CLASSES", 0, "classes; 0 counts the names of the label map or the training list", low=0),
    Option(
        "MODEL.PRETRAINED",
        "",
        "weights to start from: a file, or timm, torchvision, pytorchvideo; image weights are inflated",
    ),
    Option("MODEL.INFLATION", "centre", "image kernels in time: on the middle frame, or on all", ("centre", "mean")),
    Option("MODEL.FROZEN_STAGES", 0, "parts that are not trained: 1 the stem, 2 also res2, ... 5 all", low=0, high=5),
    Option("MODEL.DEPTHS", None, "blocks of each stage"),
    Option("MODEL.BLOCK", None, "bottleneck or basic"),
    Option("MODEL.WIDTH", None, "factor on all widths"),
    Option("MODEL.STEM", None, "deep (ResNet-D) or plain"),
    Option("MODEL.STEM_TEMPORAL_KERNEL", None, "frames"),
    Option("MODEL.STEM_TEMPORAL_STRIDE", None, "frames"),
    Option("MODEL.STEM_POOL", None, "max, conv or none"),
    Option("MODEL.STEM_POOL_TEMPORAL_STRIDE", None, "frames; above 1 the max-pool is 3 wide in time"),
    Option("MODEL.RES2_POOL_TEMPORAL_STRIDE", None, "frames; above 1 a max-pool over them ends res2"),
    Option("MODEL.TEMPORAL_KERNELS", None, "per stage one odd int, or one per block"),
    Option("MODEL.TEMPORAL_STRIDES", None, "per stage"),
    Option("MODEL.RES5_DILATION", None, "2 keeps res4's resolution, for detection"),
    Option("MODEL.SHORTCUT", None, "projection or avgpool (ResNet-D)"),
    Option("MODEL.SE_RATIO", None, "hidden width of squeeze-and-excitation over the block's; 0 leaves it out"),
    Option("MODEL.SELF_GATING", None, "gate the last block of each stage"),
    Option("MODEL.STOCHASTIC_DEPTH", None, "drop rate of the deepest block"),
    Option("MODEL.STOCHASTIC_DEPTH_RULE", None, "stage (published) or block (linear)"),
    Option("MODEL.DROPOUT", None, "rate before the classifier"),
    Option("MODEL.PADDING", None, "same (TensorFlow) or symmetric"),
    Option("MODEL.NORM_EPS", None, "batch norm's epsilon"),
    Option("MODEL.NORM_MOMENTUM", None, "torch's meaning: TensorFlow's 0.0 is 1.0"),
    Option("MODEL.INITIALIZATION", None, "whose rules start and decay the weights: model_garden or tpu"),
    Option(
        "BN.NUM_BATCHES_PRECISE",
        0,
        "batches whose statistics batch norm takes before a validation; 0: the running ones",
        low=0,
    ),
    # -- Data
    Option("DATA.TRAIN_LIST", "", "CSV, 'path label' lines, or a folder of class folders", is_path=True),
    Option("DATA.VAL_LIST", "", "the same; empty trains without validation", is_path=True),
    Option(
        "DATA.PSEUDO_LIST",
        "",
        "videos whose labels a network has given, trained on beside TRAIN_LIST; soft labels in NAME.parquet beside it",
        is_path=True,
    ),
    Option(
        "DATA.PSEUDO_SHARE", 0.5, "share of each batch that is of PSEUDO_LIST; epochs are of TRAIN_LIST", low=0, high=1
    ),
    Option(
        "DATA.PSEUDO_TEMPERATURE",
        1.0,
        "of soft labels; below 1 makes them surer, above 1 less sure",
        low=0.01,
        high=1000,
    ),
    Option("DATA.ROOT", "", "folder that relative paths start from; empty: the list's own", is_path=True),
    Option(
        "DATA.LABEL_MAP", "", "file with one class name a line; empty: sorted names of the training list", is_path=True
    ),
    Option("DATA.MULTI_LABEL", False, "videos have any number of labels: sigmoids instead of softmax, and mAP"),
    Option("DATA.DEMO", "", "motion: write the demo clips beside TRAIN_LIST where they are missing", ("", "motion")),
    Option("DATA.DECODER", "auto", "what reads video", ("auto", "pyav", "decord", "torchcodec", "torchcodec_cuda")),
    Option(
        "DATA.NUM_WORKERS",
        -1,
        "reading processes per training process; -1 its share of the cores, 0 none",
        low=-1,
        may_change=True,
    ),
    Option(
        "DATA.CACHE",
        "",
        "probes.sqlite of video-rs check_dataset: its files are not scanned again",
        may_change=True,
        is_path=True,
    ),
    Option(
        "DATA.PATH_HANDLERS",
        "",
        "iopath handlers of URLs other than http: module:Class, several joined by commas",
        may_change=True,
    ),
    Option(
        "DATA.TIME_LIMIT",
        60.0,
        "seconds for reading one clip of a video; needs NUM_WORKERS above 0",
        low=0.1,
        may_change=True,
    ),
    Option("DATA.CLIPS_PER_VIDEO", 1, "training clips of each video read (repeated augmentation)", low=1),
    Option("DATA.CLASS_BALANCE", 0.0, "0 trains on the list as it is, 1 on every class equally often", low=0, high=1),
    Option("DATA.NUM_FRAMES", 32, "frames of a clip", low=1),
    Option("DATA.SAMPLING_RATE", 2, "stride between the frames of a clip, in frames", low=1),
    Option(
        "DATA.START_MULTIPLE",
        1,
        "training clips begin at frames whose number is a multiple of this: the --stride of video-rs prepare_videos",
        low=1,
    ),
    Option(
        "DATA.TARGET_FPS",
        0.0,
        "frames per second that SAMPLING_RATE counts in, whatever the video's; 0: by frame number, as published",
        low=0,
    ),
    Option(
        "DATA.CLIP_SAMPLER", "frames", "frames: exact; pytorchvideo: its samplers by time", ("frames", "pytorchvideo")
    ),
    Option(
        "DATA.SHORT_VIDEO", "wrap", "a video shorter than its clip starts over or holds its last", ("wrap", "repeat")
    ),
    Option(
        "DATA.TRAIN_CROP", "resized", "resized: area and aspect; short_side: scale jitter", ("resized", "short_side")
    ),
    Option("DATA.TRAIN_CROP_SIZE", 224, "pixels", low=1),
    Option("DATA.TRAIN_JITTER_AREA", [0.08, 1.0], "share of the frame's area, for resized", low=0, high=1),
    Option("DATA.TRAIN_JITTER_ASPECT", [0.5, 2.0], "width over height, for resized", low=0),
    Option("DATA.TRAIN_JITTER_SCALES", [256, 320], "short side in pixels, for short_side", low=1),
    Option("DATA.RANDOM_FLIP", True, "mirror half of the training clips; off where left and right are labels"),
    Option("DATA.ANTIALIAS", False, "antialiased resizing; the published protocol has none"),
    Option(
        "DATA.TRAIN_RESIZE",
        "exact",
        "of training clips without ANTIALIAS: exact as published, or quick, in integers, at most 2 levels of 255 off; "
        "a teacher's stay exact",
        ("exact", "quick"),
    ),
    Option("DATA.TEST_SHORT_SIDE", 256, "pixels of the short side in validation and testing", low=1),
    Option("DATA.TEST_CROP_SIZE", 256, "pixels of a square view", low=1),
    Option("DATA.MEAN", [0.0, 0.0, 0.0], "subtracted per channel, after scaling to [0, 1]"),
    Option("DATA.STD", [1.0, 1.0, 1.0], "divided by per channel, after the mean", low=1e-6),
    Option("DATA.MAX_FAILED_SHARE", 0.05, "training stops when more of its samples cannot be read", low=0, high=1),
    # -- Augmentation beyond cropping and flipping; each draw is the same for all frames of a clip.
    Option("AUG.COLOR_JITTER", 0.0, "strength of brightness, contrast and saturation changes", low=0, high=1),
    Option("AUG.HUE_JITTER", 0.0, "largest turn of the hue, as a share of the colour circle", low=0, high=0.5),
    Option("AUG.COLOR_JITTER_PROB", 1.0, "probability of changing colours by both", low=0, high=1),
    Option("AUG.GREY", 0.0, "probability of a clip without colours", low=0, high=1),
    Option("AUG.BLUR", 0.0, "probability of a Gaussian blur by a random 0.1 to 2 pixels", low=0, high=1),
    Option("AUG.RAND_AUGMENT_LAYERS", 0, "operations per clip (RandAugment's N); 0 is off", low=0),
    Option("AUG.RAND_AUGMENT_MAGNITUDE", 10, "RandAugment's M", low=0, high=30),
    Option("AUG.RANDOM_ERASING", 0.0, "probability", low=0, high=1),
    # Mixing with other clips of the micro-batch; train top-1 then counts a clip's own label.
    Option("AUG.MIXUP_ALPHA", 0.0, "of the Beta distribution of mixup's shares; 0 is off", low=0),
    Option("AUG.CUTMIX_ALPHA", 0.0, "the same for cutmix; with both, each micro-batch takes one at random", low=0),
    Option("AUG.MIX_PROB", 1.0, "probability that a micro-batch is mixed", low=0, high=1),
    # -- Training
    Option("TRAIN.BATCH_SIZE", 1024, "clips per optimizer step, over all machines and accumulation", low=1),
    Option("TRAIN.ACCUMULATION_STEPS", 1, "forward-backward passes per optimizer step", low=1),
    Option("TRAIN.AUTO_BATCH", False, "raises ACCUMULATION_STEPS until a step fits into memory", may_change=True),
    Option("TRAIN.SYNC_BATCH_NORM", False, "batch-norm statistics over all processes, not those of each one's clips"),
    Option("TRAIN.EVAL_PERIOD", 5, "epochs between validations; the end is always validated", low=1),
    Option(
        "TRAIN.CHECKPOINT_STEPS",
        0,
        "optimizer steps between checkpoints; 0 saves at each epoch's end",
        low=0,
        may_change=True,
    ),
    Option(
        "TRAIN.CHECKPOINT_MINUTES",
        0.0,
        "minutes after which one is saved at the latest; 0: by steps only",
        low=0,
        may_change=True,
    ),
    Option(
        "TRAIN.KEEP_CHECKPOINTS",
        1,
        "the newest that stay: last.pth, from 2 on also as step_N.pth",
        low=1,
        may_change=True,
    ),
    Option(
        "TRAIN.NON_FINITE",
        "stop",
        "at a loss or gradient that is not finite: end, or skip the step",
        ("stop", "skip"),
    ),
    Option("TRAIN.LOG_PERIOD", 10, "optimizer steps between log lines", low=1, may_change=True),
    Option(
        "TRAIN.PROFILE_STEPS", 0, "steps traced by torch.profiler, after three others; 0 is off", low=0, may_change=True
    ),
    Option(
        "TRAIN.PRECISION",
        "auto",
        "auto: bfloat16 on CUDA (old GPUs: float16), and on a CPU where a trial step is faster in it, else float32",
        ("auto", "float32", "bfloat16", "float16"),
    ),
    Option(
        "TRAIN.ACTIVATION_CHECKPOINTING",
        0,
        "parts computed again in the backward pass, for memory: 1 the stem, 2 also res2, ... 5 all",
        low=0,
        high=5,
        may_change=True,
    ),
    # -- Testing
    Option(
        "TEST.VIEWS",
        "published",
        "published: clips and crops as below; full: the clips as whole frames; dense: one pass over the whole video; "
        "adaptive: as many clips and crops as an answer needs, by video-rs calibrate --adaptive",
        ("published", "full", "dense", "adaptive"),
    ),
    Option("TEST.NUM_ENSEMBLE_VIEWS", 10, "clips per video", low=1),
    Option("TEST.NUM_SPATIAL_CROPS", 3, "views per clip, along the longer side", (1, 3)),
    Option("TEST.BATCH_SIZE", 8, "views per forward pass", low=1),
    Option("TEST.KEEP_VIEWS", False, "predictions hold the probabilities of each view, too", may_change=True),
    Option("TEST.ALSO_AS", "", "format of predictions beside Parquet", ("", "csv", "jsonl"), may_change=True),
    # -- Optimisation
    Option("SOLVER.OPTIMIZING_METHOD", "sgd", "optimizer", ("sgd", "adamw")),
    Option("SOLVER.BASE_LR", 0.8, "learning rate at the top of the cosine", low=0),
    Option("SOLVER.LR_FOR_BATCH_SIZE", 0, "clips that BASE_LR is meant for: it follows BATCH_SIZE; 0: as it is", low=0),
    Option("SOLVER.WARMUP_EPOCHS", 5.0, "epochs of linear warm-up from 0", low=0),
    Option("SOLVER.MAX_EPOCH", 350, "epochs", low=1),
    Option("SOLVER.MAX_STEPS", 0, "optimizer steps; above 0 it overrides MAX_EPOCH", low=0),
    Option(
        "SOLVER.LAYER_DECAY",
        1.0,
        "factor on the rate for each stage below the classifier",
        low=0,
        high=1,
    ),
    Option("SOLVER.MOMENTUM", 0.9, "of SGD", low=0, high=1),
    Option("SOLVER.NESTEROV", True, "Nesterov's momentum"),
    Option("SOLVER.BETAS", [0.9, 0.999], "of AdamW", low=0, high=0.999999),
    Option("SOLVER.WEIGHT_DECAY", 4e-5, "L2 on kernels, by the rule of MODEL.INITIALIZATION", low=0),
    Option("SOLVER.LABEL_SMOOTHING", 0.1, "share of the target spread over all classes", low=0, high=1),
    Option(
        "SOLVER.CLASS_WEIGHTS",
        0.0,
        "in the loss: 0 weighs clips alike, 1 weighs classes alike",
        low=0,
        high=1,
    ),
    Option("SOLVER.PSEUDO_WEIGHT", 1.0, "of the loss of a clip of DATA.PSEUDO_LIST; others have 1", low=0),
    Option("SOLVER.CLIP_GRAD_L2NORM", 0.0, "largest norm of the gradient; 0 is off", low=0),
    Option("SOLVER.EMA_DECAY", 0.9999, "of the averaged weights; 0 is off", low=0, high=1),
    # -- Distillation
    Option("DISTILL.TEACHER", "", "checkpoint or run whose answers are learned; with WEIGHT 1 no labels are needed"),
    Option("DISTILL.TEMPERATURE", 4.0, "that answers of teacher and student are compared at", low=0.01, high=1000),
    Option("DISTILL.WEIGHT", 0.9, "of the teacher's answers in the loss; the labels have the rest", low=0, high=1),
    # -- Contrastive pre-training, without labels
    Option(
        "CONTRAST.ENABLED", False, "learn which clips are of one video: video-rs pretrain sets it, train refuses it"
    ),
    Option("CONTRAST.TEMPERATURE", 0.1, "that similarities of clips are divided by", low=0.001),
    Option("CONTRAST.DISTANCE_POWER", 1.0, "two clips are d of T starts apart as often as 1 - (d / T) ** it", low=0.01),
    Option("CONTRAST.HIDDEN_LAYERS", 3, "of the projection head, which fine-tuning drops", low=0),
    Option("CONTRAST.HIDDEN_DIM", 2048, "width of each", low=1),
    Option("CONTRAST.PROJECTION_DIM", 128, "numbers of a clip that are compared", low=2),
    Option(
        "CONTRAST.KNN_LIST",
        "",
        "labelled videos whose features vote in validation; empty: the labelled rows of TRAIN_LIST",
        is_path=True,
    ),
    Option("CONTRAST.KNN_K", 20, "how many of them vote on a video", low=1),
)
