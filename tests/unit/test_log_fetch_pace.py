"""What a broker should have before it answers a fetch."""

from streams.log.fetch_pace import FetchPace


def paced(*came: tuple[float, int]) -> FetchPace:
    pace = FetchPace(0.01)
    for now_s, size_bytes in came:
        pace.fetched(size_bytes, now_s)
    return pace


def test_nothing_is_waited_for_before_a_rate_is_known_and_where_little_comes() -> None:
    assert paced().min_bytes == 1
    assert paced((0.0, 50_000), (0.5, 50_000)).min_bytes == 1
    assert paced((0.0, 0), (0.5, 100), (1.0, 0)).min_bytes == 1


def test_under_a_steady_load_it_is_what_comes_in_ten_milliseconds() -> None:
    steady = [(100 + number / 100, 4_000) for number in range(101)]
    assert 3_900 < paced(*steady).min_bytes < 4_100


def test_a_load_that_ends_is_forgotten_after_a_second_and_a_flood_is_bounded() -> None:
    steady = [(number / 100, 4_000) for number in range(101)]
    assert paced(*steady, (2.1, 50)).min_bytes == 1
    assert paced((0.0, 10**9), (1.0, 10**9)).min_bytes == 64 * 1024
