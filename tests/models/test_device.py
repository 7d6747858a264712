import pytest
import torch

from recolor.config.loading import load_config
from recolor.errors import ConfigError
from recolor.models.device import resolve_device


@pytest.fixture
def gpus(monkeypatch):
    def there_are(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return there_are


@pytest.mark.parametrize(
    ("name", "count", "kind"), [("auto", 0, "cpu"), ("auto", 1, "cuda"), ("cpu", 1, "cpu"), ("cuda", 1, "cuda")]
)
def test_auto_is_cuda_where_there_is_one(gpus, name, count, kind):
    gpus(count)
    assert resolve_device(name) == torch.device(kind)


def test_cuda_without_cuda_is_refused(gpus):
    gpus(0)
    with pytest.raises(ConfigError, match="no CUDA device"):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_needs_a_gpu_of_its_own(gpus, name):
    gpus(2)
    assert resolve_device(name, 2) == torch.device("cuda")
    with pytest.raises(ConfigError, match=r"devices = 3: .* Allowed here: 1 to 2, or device = 'cpu'"):
        resolve_device(name, 3)


def test_a_cpu_serves_any_number_of_processes(gpus):
    gpus(1)
    assert resolve_device("cpu", 64) == torch.device("cpu")
    gpus(0)
    assert resolve_device("auto", 64) == torch.device("cpu")


def test_mps_is_taken_where_it_is_asked_for_and_there(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("mps") == torch.device("mps")


def test_mps_without_an_apple_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device = 'mps': no Apple GPU .* Allowed here: 'auto', 'cpu'"):
        resolve_device("mps")


def test_mps_is_refused_for_training():
    with pytest.raises(ConfigError, match=r"generator\.train\.device"):
        load_config(words=["generator.train.device=mps"])
