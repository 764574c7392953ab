"""Time of Θ against points, width and outputs, with the cost model; and large N."""

import math
import os
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.rows import clock, gemm_rate, in_a_process, network, turns
from ntkpipe.kernels import empirical, tiles

AXES = {
    "points N": [128, 256, 512, 1024, 2048, 4096],
    "width n": [64, 128, 256, 512, 1024, 2048, 4096],
    "outputs k": [1, 2, 4, 8, 16],
}
FIXED = {
    "points N": {"width": 1024, "k": 1},
    "width n": {"points": 1024, "k": 1},
    "outputs k": {"points": 256, "width": 1024},
}
NAMES = {"points N": "points", "width n": "width", "outputs k": "k"}
LARGEST = 60_000


def measure(folder: Path, toy: bool) -> None:
    """Write scaling.csv: best time of five, and the time of the FLOPs alone."""
    records = []
    reference = gemm_rate()
    for axis, values in AXES.items():
        for value in values[:2] if toy else values:
            sizes = FIXED[axis] | {NAMES[axis]: value}
            if toy:
                sizes = {"points": 16, "width": 16, "k": 1, NAMES[axis]: value // 8 + 1}
            model, params, x = network(**sizes)
            run = clock(lambda m=model, p=params, x=x: empirical.ntk(m.apply, p, x))
            seconds, flop_seconds = map(min, turns(5, run, reference))
            flop = tiles.plan(model.apply, params, x).flop
            records.append(
                {
                    "axis": axis,
                    **{name: sizes[name] for name in ("points", "width", "k")},
                    "seconds": seconds,
                    "flop": flop,
                    "model_seconds": flop * flop_seconds,
                    "load": os.getloadavg()[0],
                }
            )
    pd.DataFrame(records).to_csv(
        folder / "scaling.csv", index=False, float_format="%.4g"
    )


def draw(folder: Path) -> None:
    """Draw scaling.svg and scaling.png from scaling.csv."""
    found = pd.read_csv(folder / "scaling.csv")
    # one rate for all points, because rates that vary in time would bend the lines
    found["model"] = found["flop"] * (found["model_seconds"] / found["flop"]).median()
    figure, plots = plt.subplots(
        1, 3, figsize=(10, 3.2), sharey=True, layout="constrained"
    )
    for plot, (axis, name) in zip(plots, NAMES.items(), strict=True):
        part = found[found["axis"] == axis]
        plot.loglog(part[name], part["seconds"], "o", label="measured")
        plot.loglog(part[name], part["model"], "-", label="FLOPs at the GEMM rate")
        x, y = np.log(part[name]), np.log(part["model"])
        slope = (y.iloc[-1] - y.iloc[-2]) / (x.iloc[-1] - x.iloc[-2])
        fixed = ", ".join(
            f"{'Nnk'[list(NAMES.values()).index(other)]} = {value:,}"
            for other, value in FIXED[axis].items()
        )
        plot.set_title(f"{fixed}; slope of the model {slope:.1f}", fontsize=9)
        plot.set_xlabel(axis)
        plot.set_xticks(part[name].iloc[::2], part[name].iloc[::2].map("{:,}".format))
        plot.minorticks_off()
        plot.spines[["top", "right"]].set_visible(False)
    plots[0].set_ylabel("time of Θ (s)")
    plots[0].legend(frameon=False)
    figure.savefig(
        folder / "scaling.svg",
        metadata={"Date": None, "Title": "Time of Θ against its cost model"},
    )
    figure.savefig(folder / "scaling.png", dpi=150)
    plt.close(figure)


def large(folder: Path, points: int) -> None:
    """Write large.csv: `kernels.large.compare` at N points, and predicted at 60,000."""
    width = 1024 if points > 1000 else 16
    seconds, gigabytes = map(
        float,
        in_a_process(f"""
import time
import jax.numpy as jnp
model, before, x = network({points}, {width}, d=10)
after = jax.tree.map(lambda w: w + 0.01 * jnp.sign(w), before)
begin = time.perf_counter()
gigabytes = peak(lambda: large.compare(model.apply, before, after, x)[:3])
print(time.perf_counter() - begin, gigabytes)
""").split(),
    )
    model, before, x = network(points, width, d=10)
    cut = tiles.plan(model.apply, before, x)
    all_points = tiles.plan(
        model.apply, before, jax.ShapeDtypeStruct((LARGEST, x.shape[1]), x.dtype)
    )
    records = [
        {"points": points, "kind": "measured", "seconds": seconds, "plan": cut},
        {
            "points": LARGEST,
            "kind": "predicted",
            "seconds": seconds * all_points.flop / cut.flop,
            "plan": all_points,
        },
    ]
    for record in records:
        plan = record.pop("plan")
        record |= {
            "width": width,
            "flop": 2 * plan.flop,
            "planned_gigabytes": 2 * plan.bytes / 1e9,
            "kernel_gigabytes": plan.kernel_bytes / 1e9,
            "load": os.getloadavg()[0] if math.isfinite(record["seconds"]) else 0.0,
        }
        print(
            f"kernels.large.compare, N = {record['points']:,}, width {width}, "
            f"{record['kind']}: {record['seconds']:.1f} s, "
            f"{record['planned_gigabytes']:.2f} GB planned"
        )
    print(f"N = {points:,} took {gigabytes:.2f} GB")
    records[0]["gigabytes"] = gigabytes
    pd.DataFrame(records).to_csv(folder / "large.csv", index=False, float_format="%.4g")
