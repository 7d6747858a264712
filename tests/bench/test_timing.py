import time
from itertools import chain, repeat

import pytest
import torch

from recolor.bench.timing import fastest_s, time_steps

CPU = torch.device("cpu")


def _sleeping(seconds, batches):
    for batch in batches:
        time.sleep(seconds)
        yield batch


def _share(source, step, steps, warmup_steps=1, device=CPU):
    timing = time_steps(source, step, device=device, warmup_steps=warmup_steps, steps=steps)
    return timing.data_s / timing.step_s


@pytest.mark.parametrize(("source_s", "step_s"), [(0.03, 0.01), (0.01, 0.03)])
def test_a_slow_source_takes_its_share_of_the_step(source_s, step_s):
    share = _share(_sleeping(source_s, repeat(0)), lambda _: time.sleep(step_s), steps=10)
    assert share == pytest.approx(source_s / (source_s + step_s), abs=0.15)


def test_a_source_that_is_ready_takes_no_share():
    assert _share(repeat(0), lambda _: time.sleep(0.01), steps=5) < 0.05


def test_steps_before_those_that_count_are_run_and_not_counted():
    seen = []
    slow, quick = _sleeping(0.2, range(3)), range(3, 8)
    share = _share(chain(slow, quick), lambda batch: (seen.append(batch), time.sleep(0.02)), steps=5, warmup_steps=3)
    assert seen == list(range(8))
    assert share < 0.1


def test_the_step_takes_all_of_the_time_and_the_data_a_part_of_it():
    timing = time_steps(_sleeping(0.01, repeat(0)), lambda _: time.sleep(0.01), device=CPU, warmup_steps=0, steps=4)
    assert 0 < timing.data_s < timing.step_s


def test_the_fastest_of_several_runs_counts_and_the_first_does_not():
    waits_s = iter([0.0, 0.1, 0.02, 0.1])
    assert 0.02 <= fastest_s(lambda: time.sleep(next(waits_s)), CPU, 3) < 0.1
    assert next(waits_s, None) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: what is timed is its stream")
def test_a_host_that_waits_while_the_device_works_costs_no_data_time_and_a_late_one_does():
    device = torch.device("cuda")
    left = torch.randn(8192, 8192, device=device)

    def long_step(_):
        for _ in range(4):
            torch.mm(left, left)

    step_s = fastest_s(lambda: long_step(None), device, 3)
    hidden = _share(_sleeping(step_s / 4, repeat(0)), long_step, steps=10, device=device)
    late = _share(_sleeping(step_s * 4, repeat(0)), long_step, steps=10, device=device)
    assert hidden < 0.1
    assert late == pytest.approx(0.75, abs=0.15)  # it sleeps for four steps, and one of them is hidden
