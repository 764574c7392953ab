# %% [markdown]
# # My own data and a claim
#
# This notebook states a claim about networks on a table of data, runs the study, and
# reads the verdict. The run needs less than a minute on one core. Run it from the top
# of the checkout, as the program `.venv/bin/python docs/learn/my_data_and_a_claim.py`,
# or open it in Jupyter.
#
# ## The study
#
# The table `examples/diabetes.csv` has seven measurements of 442 patients and the
# progression of the disease in a year. The claim: the kernel of a network with two
# hidden layers changes in proportion to 1/n while the network learns the progression.
# Theory says so for smooth activations, so the band is set before the run: −1 ± 0.25.

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from ntkpipe import study

STUDY = """
title: Are networks lazy on the diabetes data?
question: Does the change of the kernel fall as 1/n on a table of measurements?
dataset: {kind: csv, path: examples/diabetes.csv, target: progression, points: 40}
model: {depth: 2, activation: tanh, b_std: 0.1}
training: {learning_rate: 0.3, steps: 200, record: 10}
widths: [64, 256, 1024]
seeds: {64: 20, 256: 10, 1024: 5}
linearize: none
variants:
  ntk: {}
  mup: {model: {parameterization: mup}, widths: [64, 256], seeds: 8}
claims:
  - id: lazy
    kind: power_law
    set: before
    says: The change of the kernel falls as 1/n
    source: Jacot et al. 2018, thm 2
    variant: ntk
    metric: ntk_change
    predicted: -1
    tolerance: 0.25
  - id: lazy/mup
    nature: control
    kind: power_law
    says: The same holds in the parametrisation mup
    source: control of lazy
    variant: mup
    metric: ntk_change
    predicted: -1
    tolerance: 0.25
"""
folder = Path(tempfile.mkdtemp())
(folder / "patients.yaml").write_text(STUDY)

# %% [markdown]
# The second claim is a control: a claim we know to be false. In the parametrisation
# `mup` the kernel changes at every width. If the test could not refute this claim, it
# would be too weak for the first one.
#
# ## Check it
#
# A misspelt key, or a metric that the study does not measure, is found before anything
# runs.

# %%
one = study.load(folder / "patients.yaml")
networks = sum(e.seeds_at(n) for e in one.variants.values() for n in e.widths)
print(
    f"{len(list(one.jobs()))} trainings, {networks} networks, {len(one.claims)} claims"
)

try:
    study.parse(STUDY.replace("metric: ntk_change", "metric: ntk_chang"), "patients")
except study.StudyError as error:
    print(error.faults[0])

# %% [markdown]
# ## Run it
#
# In a checkout the file would be `config/studies/patients.yaml` and the command `./run
# study patients`. Here the files are in a temporary folder, so the command names it.

# %%
command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
settings = [f"studies={folder}", "run=patients", "gallery="]
settings += [f"pathvars={{results: {folder}/results, logs: {folder}/logs}}"]
done = subprocess.run(
    [*command, "--nolock", "--config", *settings], capture_output=True, text=True
)
print("finished" if done.returncode == 0 else done.stderr[-2000:])

# %% [markdown]
# ## The verdict
#
# `claims.csv` has a row for each claim: the estimate, its interval, the accepted band,
# and the verdict. *Supported* means that the whole interval lies in the band.

# %%
claims = pd.read_csv(folder / "results/patients/claims.csv").set_index("claim")
columns = ["estimate", "ci_low", "ci_high", "low", "high", "verdict", "as_expected"]
print(claims[columns].round(3).T.to_string())

# %% [markdown]
# The first exponent is near −1, and its interval decides: inside [−1.25, −0.75] the
# claim is supported. If the interval crossed an edge of the band, the verdict would be
# *inconclusive*, and more networks would decide. The control is far above −1 and is
# contradicted, as expected.
#
# ## Where the numbers come from
#
# `measurements.csv` has each network. The exponent is the slope of the geometric means
# over networks.

# %%
table = pd.read_csv(folder / "results/patients/measurements.csv")
last = table[(table["metric"] == "ntk_change") & (table["step"] == table["step"].max())]
by_width = last.groupby(["variant", "width"])["value"]
print(by_width.agg(["count", "median", "min", "max"]).round(4).to_string())

# %% [markdown]
# The page of the study is `results/index.html` in the folder of the results. [Your own
# data](../use/data.md) explains the keys of `csv` and `npz`, and [Your own
# experiment](../use/experiment.md) which claim and how many networks to choose.
#
# Next: [Reading the results](reading_results.py).
