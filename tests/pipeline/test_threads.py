import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from recolor.models.device import torch_threads
from recolor.pipeline.parallel import in_threads


def test_no_more_is_read_ahead_than_is_allowed():
    begun = []
    with ThreadPoolExecutor(2) as pool:
        results = in_threads(pool, lambda item: begun.append(item) or item, range(100), ahead=3)
        for number, result in enumerate(results):
            assert result == number
            assert len(begun) <= number + 1 + 3


def test_results_keep_their_order_when_the_first_takes_longest():
    def wait(item):
        time.sleep(0.05 if item == 0 else 0)
        return item

    with ThreadPoolExecutor(4) as pool:
        assert list(in_threads(pool, wait, range(20), ahead=4)) == list(range(20))


def test_two_items_are_under_way_at_once():
    together = threading.Barrier(2, timeout=30)
    with ThreadPoolExecutor(2) as pool:
        assert list(in_threads(pool, lambda _: together.wait() >= 0, range(4), ahead=2)) == [True] * 4


def test_an_error_comes_out_where_its_result_would_have():
    def divide(item):
        return 6 // item

    with ThreadPoolExecutor(2) as pool:
        results = in_threads(pool, divide, [3, 2, 0, 1], ahead=1)
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_the_threads_of_torch_are_as_before_afterwards():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with contextlib.suppress(ValueError), torch_threads(before + 1):
        raise ValueError
    assert torch.get_num_threads() == before
