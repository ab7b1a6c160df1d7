import sys

import torch

from raygen.model import gpu


def test_without_a_driver_there_is_no_gpu_and_torch_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "DRIVERS", (str(tmp_path / "none"),))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not gpu.gpu_is_usable()


def test_with_a_driver_torch_decides(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "DRIVERS", (str(tmp_path),))
    for answer in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda answer=answer: answer)
        assert gpu.gpu_is_usable() is answer


def test_with_a_driver_and_no_torch_there_is_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "DRIVERS", (str(tmp_path),))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu.gpu_is_usable()
