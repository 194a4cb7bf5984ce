"""Versions of cuDNN that are warned of where a GPU is picked."""

import torch

from video_rs.runtime import devices
from video_rs.runtime.devices import doubtful_cudnn


def test_versions_of_cudnn_that_are_known_to_be_wrong_are_told():
    assert [bool(doubtful_cudnn(number)) for number in (None, 8902, 90701, 90800, 91002, 91400, 91500, 92400)] == [
        False, False, False, True, True, True, False, False,
    ]  # fmt: skip
    assert doubtful_cudnn(91002) == (
        "cuDNN 9.10.2 computes some large 3D convolutions in half precision wrongly (9.8 to 9.14 do, "
        "pytorch/pytorch#163539), and PyTorch 2.9 goes around it with several times the memory; install cuDNN 9.15 or "
        "newer (nvidia-cudnn-cu12 or -cu13), or a newer PyTorch"
    )


def test_a_known_version_is_warned_of_where_cuda_is_picked(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    for number, told in ((91002, [doubtful_cudnn(91002)]), (92400, [])):
        caplog.clear()
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda number=number: number)
        assert devices.pick_device("auto") == torch.device("cuda", 0)
        assert caplog.messages == told
