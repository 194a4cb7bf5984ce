"""CUDA's float32 without TF32 for a while."""

import contextlib
from collections.abc import Iterator

import torch
from torch.backends import cuda, cudnn


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Let CUDA compute convolutions and matrix products in float32 as it is; settings are as before afterwards.

    TF32, cuDNN's default, rounds to 10 bits: folded and unfolded weights, both right, then differ by more than float32
    rounds.
    """
    try:
        before = (torch.get_float32_matmul_precision(), cudnn.allow_tf32)
        exact = ("highest", False)
        change = _set_by_older_names
    except RuntimeError:  # somebody used the names that PyTorch has since 2.9; older ones then cannot even be read
        before = (cuda.matmul.fp32_precision, cudnn.conv.fp32_precision)
        exact = ("ieee", "ieee")
        change = _set_by_newer_names

    change(*exact)
    try:
        yield
    finally:
        change(*before)


def _set_by_older_names(products: str, convolutions: bool) -> None:
    """Set the precision of matrix products, and whether convolutions may take TF32."""
    if products != torch.get_float32_matmul_precision():  # to set what it is would set more than that
        torch.set_float32_matmul_precision(products)
    cudnn.allow_tf32 = convolutions


def _set_by_newer_names(products: str, convolutions: str) -> None:
    """Set the precisions of matrix products and of convolutions."""
    cuda.matmul.fp32_precision = products
    cudnn.conv.fp32_precision = convolutions
