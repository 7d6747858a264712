import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Small convolutions are faster without waiting for a second core that may be busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
