"""Claims that a published slope is typical of simulated slopes."""

import numpy as np
import pandas as pd
import pytest

from ntkpipe.claims.typical import Typical


def slopes_table(seeds, sigma=0.1, slope=-1.0):
    random = np.random.default_rng(3)
    rows = [
        ("s", "base", width, seed, 0, "kappa", width**slope * np.exp(sigma * noise))
        for width in (8, 32, 128, 512)
        for seed, noise in enumerate(random.normal(size=seeds))
    ]
    columns = ["study", "variant", "width", "seed", "step", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    "published, seeds, verdict",
    [
        (-0.97, 400, "consistent"),
        (-1.03, 400, "consistent"),
        (-1.35, 400, "contradicted"),
        (-0.65, 400, "contradicted"),
        (-0.97, 20, "inconclusive"),
    ],
)
def test_a_published_slope_is_typical_or_not(published, seeds, verdict):
    common = {"id": "R-7", "set": "before", "says": "s", "source": "s"}
    claim = Typical(**common, metric="kappa", published=published)
    table = slopes_table(seeds)
    found = claim.evaluate(table)
    assert found.verdict == verdict
    assert found.as_expected == (verdict == "consistent")
    if verdict != "inconclusive":
        p = dict(found.detail)["two-sided p"]
        assert (p > 0.01) == (verdict == "consistent")
        assert (found.level, found.interval) == (0.99, "prediction")
        widths = table.pivot_table(index="seed", columns="width", values="value")
        slopes = [
            np.polyfit(np.log(widths.columns.astype(float)), np.log(row), 1)[0]
            for row in widths.to_numpy()
        ]
        below = np.mean(np.array(slopes) < published)
        assert p == pytest.approx(min(1, 2 * min(below, 1 - below)))
        # slopes of four points at log-distance log 4 scatter by σ/√Σ(x − x̄)²
        spread = 0.1 / np.sqrt(
            np.sum((np.log(4) * np.array([-1.5, -0.5, 0.5, 1.5])) ** 2)
        )
        assert found.estimate == pytest.approx(-1, abs=0.01)
        assert found.ci_high - found.ci_low == pytest.approx(2 * 2.58 * spread, rel=0.2)
