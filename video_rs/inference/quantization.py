"""Networks in int8: quantised after training, by NNCF, with ranges taken from real clips."""

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from video_rs.inference.conversion import missing, quiet
from video_rs.inference.precision import Samples
from video_rs.runtime.errors import InputError

if TYPE_CHECKING:
    import openvino


def require_nncf() -> None:
    """Raise InputError where NNCF is not installed."""
    if missing(["nncf"]):
        raise InputError(
            "precision 'int8' needs nncf, which is not installed; pip install 'video_rs[quantize]', or take another "
            "precision"
        )


def require_calibration(samples: Samples | None) -> None:
    """Raise InputError where there are no clips to calibrate on."""
    if samples is None or not len(samples.calibration):
        raise InputError(
            "precision 'int8' is calibrated on real clips, and there are none; give accelerate samples (commands: "
            "--calibration LIST), or take another precision"
        )


def can_quantize(samples: Samples | None) -> bool:
    """Return whether there is all that int8 needs."""
    return samples is not None and len(samples.calibration) > 0 and not missing(["nncf"])


def quantize(
    graph: "openvino.Model", batches: Sequence[Tensor], prepare: Callable[[Tensor], Tensor]
) -> "openvino.Model":
    """Return a graph whose convolutions and linear layers compute in int8; the one that is given stays as it is.

    Weights have a range for each channel, clips and maps one as a whole: symmetric, or from 0 on behind a ReLU (Jacob
    et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference", arXiv
    1712.05877).

    Args:
        graph: clips -> logits, of any sizes.
        batches: clips from which ranges are taken.
        prepare: brings a batch of them into the form that the graph takes.
    """
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    # Its progress bars go to the standard output, which is for answers. What it imports warns of CUDA's compiler where
    # there is no GPU.
    with quiet("nncf", "torch.utils.cpp_extension"), contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            graph,
            nncf.Dataset(batches, lambda batch: prepare(batch).numpy()),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                # Up to the largest value ever seen: the mean over clips, NNCF's own choice, cuts what stands out in a
                # map, and changed probabilities five times as much.
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                # The fast one ruined networks of open sizes (the best class the same in 32 % of views); the other
                # takes as long as all the rest, and five trained networks answered as well without it.
                disable_bias_correction=True,
            ),
        )
