"""Synthetic tables of measurements with known answers, and claims about them."""

import json

import numpy as np
import pandas as pd
import pydantic

from ntkpipe.claims import Claim

ADAPTER = pydantic.TypeAdapter(Claim)
WIDTHS = (64, 128, 256, 512, 1024)


def claim(kind, **fields):
    common = {"kind": kind, "id": "T-1", "says": "so it is", "source": "Test 2024"}
    common |= {"set": "before"}
    # JSON, as from a study file, because strict mode then reads lists as tuples
    return ADAPTER.validate_json(json.dumps(common | fields))


def note(found):
    """The remark of a verdict; empty if there is none."""
    return dict(found.detail).get("note", "")


def rows(values, metric="q", variant="base", width=64, step=10, seeds=None):
    """Rows of one metric, one value for each seed."""
    seeds = range(len(values)) if seeds is None else seeds
    return pd.DataFrame(
        {
            "study": "s",
            "variant": variant,
            "width": width,
            "seed": list(seeds),
            "step": step,
            "metric": metric,
            "value": np.asarray(values, float),
        }
    )


def scaling(slope, sigma=0.1, seeds=10, seed=0, **where):
    rng = np.random.default_rng(seed)
    noise = np.exp(sigma * rng.standard_normal((len(WIDTHS), seeds)))
    return pd.concat(
        rows(w**slope * e, width=w, **where) for w, e in zip(WIDTHS, noise, strict=True)
    )


def normal(n=40, mean=0.0, sd=1.0, seed=0):
    return mean + sd * np.random.default_rng(seed).standard_normal(n)
