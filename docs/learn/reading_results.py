# %% [markdown]
# # Reading the results
#
# A run leaves tables and arrays in `results`. This notebook makes a small study, reads
# its files, and draws a figure for a paper. The run needs half a minute on one core.
# With your own results, set `results` to the folder `results/STUDY` of your checkout
# and skip the run. Run the notebook from the top of the checkout.

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

STUDY = """
title: A small study
question: Do wider networks stay closer to their linearisation?
dataset: {kind: circle, points: 8, target: {kind: harmonics, frequencies: [1, 3]}}
model: {depth: 2, activation: tanh, b_std: 0.1}
training: {learning_rate: 1.0, steps: 500, record: 30}
widths: [32, 256]
seeds: 12
claims:
  - id: gap
    kind: ordering
    set: before
    says: Wider networks are closer to their linearisation
    source: Lee et al. 2019
    metric: linear_gap_test
    direction: decreasing
"""
folder = Path(tempfile.mkdtemp())
(folder / "small.yaml").write_text(STUDY)
command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
settings = [f"studies={folder}", "run=small", "gallery="]
settings += [f"pathvars={{results: {folder}/results, logs: {folder}/logs}}"]
done = subprocess.run(
    [*command, "--nolock", "--config", *settings], capture_output=True, text=True
)
results = folder / "results" / "small"
print("finished" if done.returncode == 0 else done.stderr[-2000:])
for path in sorted(results.rglob("*.*")):
    print(path.relative_to(results))

# %% [markdown]
# ## claims.csv: the verdicts
#
# One row for each claim. `detail` has further numbers: here the means that are compared
# and the p-value.

# %%
claim = pd.read_csv(results / "claims.csv").iloc[0]
print(claim[["claim", "verdict", "metric", "nature", "set"]].to_string())
print(claim["detail"])

# %% [markdown]
# ## measurements.csv: the metrics of all networks
#
# One row for each network, metric and step. Width 0 would be infinite width.

# %%
table = pd.read_csv(results / "measurements.csv")
print(table.head(3).to_string(index=False))
wanted = ["ntk_change", "weight_change", "linear_gap_test", "loss_ratio"]
last = table[table["metric"].isin(wanted)].groupby(["metric", "width", "seed"]).last()
last = last.reset_index()
medians = last.pivot_table("value", index="metric", columns="width", aggfunc="median")
print()
print(medians.round(4).to_string())

# %% [markdown]
# All four numbers belong to the same networks. From width 32 to 256 the kernel and the
# weights change less, and the networks are closer to their linearisation on test
# points. The row `loss_ratio` says that all have learned: it is the share of the loss
# that is left.
#
# ## network.npz: the arrays of one width
#
# Each array has the networks along its first axis. `meta` has settings and versions.

# %%
network = np.load(results / "base/width32/network.npz")
for name in ("step", "loss", "f_train", "f_test", "ntk"):
    print(f"{name:8}", network[name].shape)
meta = json.loads(str(network["meta"]))
print(sorted(meta))
print("jax", meta["versions"]["jax"])

# %% [markdown]
# The shapes are: recorded steps; networks × steps; networks × steps × points × outputs;
# and for the kernel networks × snapshots × points × outputs × points × outputs.
#
# ## A figure for a column of a journal
#
# 3.3 inches wide, with text of 8 points at this size. Lines are medians over networks,
# and shades the range from 10 to 90 % of them.

# %%
plt.rcParams.update(
    {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
)
figure, axes = plt.subplots(figsize=(3.3, 2.3), layout="constrained")
for width, color in ((32, "#d55e00"), (256, "#0072b2")):
    network = np.load(results / f"base/width{width}/network.npz")
    low, middle, high = np.quantile(network["loss"], (0.1, 0.5, 0.9), axis=0)
    axes.fill_between(network["step"], low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(network["step"], middle, color=color, label=f"n = {width}")
axes.set(xscale="symlog", yscale="log", xlabel="gradient steps", ylabel="training loss")
axes.legend(frameon=False)
figure.savefig(folder / "loss.pdf")
plt.show()

# %% [markdown]
# The two lines nearly coincide: in the NTK parametrisation the width hardly changes the
# speed of training. Narrow networks scatter more, because their kernels do.
#
# [results/README.md](../../results/README.md) lists all files, and
# [Metrics](../reference/metrics.md) all metrics with their formulas.
