import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """One thread: small models gain nothing from a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
