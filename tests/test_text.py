"""The format of numbers, intervals, durations and counts in all parts of ntkpipe."""

import math
import subprocess
import sys

import pytest

from ntkpipe import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.9934, "−0.993"),
        (0.0, "0"),
        (9.6, "9.60"),
        (99.94, "99.9"),
        (1.3e-16, "1.30·10⁻¹⁶"),
        (12345.6, "12,346"),
        (-2e7, "−2.00·10⁷"),
        (1e-3, "0.00100"),
        (1e5, "1.00·10⁵"),
        (math.nan, ""),
        (math.inf, ""),
        (None, ""),
    ],
)
def test_a_number_has_three_digits(value, shown):
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.5, 4, "0.5"),
        (-1.0, 4, "−1"),
        (0.0494, 4, "0.0494"),
        (1e-6, 3, "10⁻⁶"),
        (-1e-6, 3, "−10⁻⁶"),
        (1.5e-6, 3, "1.5·10⁻⁶"),
        (100.0, 4, "100"),
        (1234.0, 3, "1,234"),
    ],
)
def test_a_number_without_zeros_is_as_it_was_typed(value, digits, shown):
    assert text.number(value, digits, zeros=False) == shown


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((160.7049, 160.8360), ["160.7", "160.8"]),
        ((1.000033, 1.000039), ["1.00003", "1.00004"]),
        ((1.0, 1.0), ["1.00", "1.00"]),
        ((1.0, 1.0 + 1e-12), ["1.00", "1.00"]),
        ((3.8659e-5, 3.8722e-5), ["3.866·10⁻⁵", "3.872·10⁻⁵"]),
        ((12345.2, 12345.4), ["12,345.2", "12,345.4"]),
        ((-1, math.inf), ["−1.00", ""]),
    ],
)
def test_an_interval_has_the_digits_that_tell_its_ends_apart(ends, shown):
    assert text.numbers(ends) == shown
    # another number is shown with as many digits
    assert text.numbers(ends, ends[0]) == [*shown, shown[0]]


@pytest.mark.parametrize(
    ("value", "width", "shown"),
    [
        (-0.98, 0.2, "−0.98"),
        (-0.0014, 0.0005, "−0.0014"),
        (-0.001, 0.3, "0.00"),
        (-1.99997, 2e-5, "−1.999970"),
    ],
)
def test_decimals_are_those_of_the_interval(value, width, shown):
    assert text.decimal(value, width) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.9334, "−0.933"),
        (0.5, "0.5"),
        (0, "0"),
        (-1e-16, "−1e−16"),
        (999.4, "999"),
        (12345.6, "12,346"),
        (-2000, "−2,000"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_a_brief_number_has_no_zeros_at_its_end(value, shown):
    assert text.brief(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.02, "0.02"),
        (300.0, "300"),
        (1e-3, "0.001"),
        (1e5, "$10^{5}$"),
        (1e-5, "$10^{-5}$"),
        (2e-5, r"$2\cdot10^{-5}$"),
        (2.5e6, r"$2.5\cdot10^{6}$"),
    ],
)
def test_a_tick_is_a_power_where_digits_would_be_many(value, shown):
    assert text.tick(value) == shown


def test_a_minus_sign_is_no_hyphen():
    assert text.minus("-1e-05") == "−1e−05"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "–"), (math.nan, "–"), (None, "–"), (7.0, "7"), (12345, "12,345")],
)
def test_counts_have_separators(value, shown):
    assert text.count(value) == shown


def test_nouns_agree_with_their_number():
    assert text.many(1, "claim") == "1 claim"
    assert text.many(0, "claim") == "0 claims"
    assert text.many(1200, "study", "studies") == "1,200 studies"
    assert text.share(3.0, 4) == "3 of 4 networks"
    assert text.share(1, 1, "linearised model") == "1 of 1 linearised model"


@pytest.mark.parametrize(
    ("seconds", "measured", "estimated"),
    [
        (3, "3 s", "3 s"),
        (12.3, "12 s", "12 s"),
        (89, "89 s", "89 s"),
        (91, "2 min", "2 min"),
        (600, "10 min", "10 min"),
        (5399, "90 min", "90 min"),
        (7200, "2.0 h", "2 h"),
        (864_000, "240.0 h", "10 days"),
    ],
)
def test_durations_are_in_the_unit_that_fits(seconds, measured, estimated):
    assert text.duration(seconds) == measured
    assert text.duration(seconds, estimate=True) == estimated


def test_a_cell_without_a_value_is_empty():
    row = {"a": "x", "b": math.nan, "c": None, "d": 0}
    assert [text.cell(row, column) for column in "abcde"] == ["x", "", "", "0", ""]


def test_powers_are_separated_from_other_text():
    assert text.powers("10⁻³ of 2·10⁵") == ["10", "−3", " of 2·10", "5", ""]
    assert text.powers("R² <1>") == ["R² <1>"]
    assert "".join(text.powers(text.number(-2.5e-16))) == "−2.50·10−16"


def test_links_are_parts_of_a_text_and_lose_nothing():
    told = "A 2019 (1909.11304), doi:10.1103/Phys.1, https://example.org/a?b=1."
    parts = text.links(told)
    assert "".join(part for part, _ in parts) == told
    assert [part for part in parts if part[1]] == [
        ("1909.11304", "https://arxiv.org/abs/1909.11304"),
        ("doi:10.1103/Phys.1", "https://doi.org/10.1103/Phys.1"),
        ("https://example.org/a?b=1", "https://example.org/a?b=1"),
    ]
    assert text.links("none") == [("none", "")]


def test_a_study_is_read_without_what_the_page_needs():
    code = (
        "import sys, ntkpipe.study, ntkpipe.report.gallery, ntkpipe.text\n"
        "slow = {'jax', 'jinja2', 'matplotlib', 'pandas', 'PIL'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
