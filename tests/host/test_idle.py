"""When the host may leave."""

from __future__ import annotations

from rnj_lsp.models.host.idle import Idle


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_time_counts_from_the_end_of_the_last_request() -> None:
    clock = Clock()
    idle = Idle(60, clock)
    assert idle.remaining_s() == 60
    clock.now_s += 50
    with idle.in_use():
        clock.now_s += 1000
        assert idle.remaining_s() is None
    assert idle.remaining_s() == 60
    clock.now_s += 61
    assert idle.remaining_s() == 0


def test_two_requests_at_once_both_keep_the_host() -> None:
    clock = Clock()
    idle = Idle(60, clock)
    with idle.in_use():
        with idle.in_use():
            pass
        clock.now_s += 100
        assert idle.remaining_s() is None


def test_no_limit_means_forever() -> None:
    clock = Clock()
    idle = Idle(0, clock)
    clock.now_s += 1e9
    assert idle.remaining_s() is None
