"""Whether a forward pass is being recorded: compilers, exporters and tracers want a graph that holds at any size."""

import torch


def is_recorded() -> bool:
    """Return whether torch.compile, torch.export or torch.jit.trace records the forward pass that runs now."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
