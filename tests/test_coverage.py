"""The table of coverage: it is made, and it sees intervals that are too short."""

import coverage
import pytest

from ntkpipe.claims import statistics


@pytest.fixture(scope="module")
def designs():
    return coverage.designs()


def test_each_kind_of_interval_has_the_numbers_of_networks_of_studies(designs):
    assert designs.keys() == coverage.KINDS.keys()
    assert min(designs["mean"])[0] == 5 and designs["ratio"]
    assert all(min(seeds) > 1 for kind in designs.values() for seeds in kind)


def test_the_table_has_a_row_for_each_design(designs):
    first = {name: seeds[:1] for name, seeds in designs.items()}
    rows = coverage.table(first, 4).splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [*first]


def test_an_interval_that_is_too_short_is_seen(monkeypatch):
    full = statistics.interval

    def half(sample, coefficients, confidence=0.95):
        return full(sample, coefficients, 2 * confidence - 1.4)

    def found():
        return coverage.coverage("mean", (20,), "normal", 300)

    assert found() >= coverage.least(0.95) - 0.02
    monkeypatch.setattr(statistics, "interval", half)
    assert found() < 0.75
    assert "**" in coverage.table({"mean": [(20,)]}, 100)


def test_the_accepted_coverage_is_94_percent_for_95():
    assert coverage.least(0.95) == pytest.approx(0.94)
