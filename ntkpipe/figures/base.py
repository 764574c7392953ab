"""What the kinds of figure share.

Each kind is a section with two methods. `table` does all the statistics and returns
what will be drawn as one tidy table, which is kept beside the figure as csv; `draw`
draws that table and nothing else. Neither knows a file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from ntkpipe.claims.base import MetricRead
from ntkpipe.experiment import Experiment
from ntkpipe.figures.labels import LABELS
from ntkpipe.lazy import Lazy
from ntkpipe.models.parameterizations import HUGE
from ntkpipe.section import Fault, did_you_mean, section

if TYPE_CHECKING:
    from ntkpipe.claims import Claim

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def _drawable(text: str) -> str:
    """Refuse a text with a formula that can't be drawn."""
    if "$" in text:  # else matplotlib is not needed
        from matplotlib import cbook, mathtext

        try:
            if cbook.is_math_text(text):
                mathtext.MathTextParser("path").parse(text)
        except ValueError as error:
            reason = str(error).splitlines()[-1].partition(": ")[2]
            reason = textwrap.shorten(reason, 70, placeholder=" …")
            raise ValueError(f"no formula between $ and $: {reason}") from None
    return text


Text = Annotated[str, AfterValidator(_drawable)]


Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


Axis = Literal["angle", "x"]


# times a width to the power of 10 it is still a number
Abscissa = Annotated[float, Field(ge=1 / HUGE, le=HUGE)]


Begin = Annotated[float, Field(gt=0)]


NO_TEST_KERNEL = Fault(
    ("points",),
    "no kernels among test points: say training.test_kernel: true, or points: train",
)


P10, P90 = -1.2815515655446004, 1.2815515655446004  # of the standard normal


class Arrays(Protocol):
    """How a figure gets at the arrays of a study, and at its claims."""

    variants: tuple[str, ...]
    claims: tuple[Claim, ...]

    def widths(self, variant: str) -> tuple[int, ...]:
        """Widths that were run of a variant, ascending."""

    def experiment(self, variant: str) -> Experiment:
        """The settings of a variant."""

    def __call__(
        self, product: str, variant: str, width: int | None = None
    ) -> dict[str, np.ndarray]:
        """The arrays of `dataset`, `network`, `linearized` or `limit`."""


RECORDED = ("loss", "weight_change", "weight_distance", *LABELS)
"""Quantities that trainings record at each step, and no metric of the measurements."""


@section
class BaseFigure:
    """What all kinds of figure have."""

    name: Slug
    """File name, without ending."""
    title: str
    """Heading on the page."""
    caption: str
    """One or two sentences: what there is to see."""
    after: str = ""
    """The published figure that it regenerates."""
    variants: tuple[str, ...] | None = None
    """Variants shown, by default all."""
    widths: tuple[int, ...] | None = None
    """Widths shown, by default all."""
    labels: dict[str, Text] = Field(default_factory=dict)
    """How variants are called in the figure, by default by their names."""

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics that the figure reads, and of which variants."""
        yield from ()  # what a kind adds

    def variants_read(self) -> tuple[str, ...]:
        """Variants it asks for by name."""
        return self.variants or ()

    def claims_shown(self, claims: Iterable[Claim]) -> tuple[Claim, ...]:
        """The claims of a study that it shows something of."""
        del claims
        return ()

    def unmet(self, e: Experiment) -> Iterator[Fault]:
        """Requirements of the figure that an experiment does not meet."""
        if "limit" in self.reads and not e.has_limit:
            yield Fault((), "no limit: say limit: steps or flow")
        if "linearized" in self.reads and not e.has_linearized:
            yield Fault((), "no linearised model: say linearize: steps or flow")
        if {"network", "linearized"} & set(self.reads):
            yield from unknown("widths", "width", self.widths or (), e.widths)
        yield from self._unmet(e)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        del e
        yield from ()  # what a kind adds

    def _variants(self, available: tuple[str, ...]) -> tuple[str, ...]:
        chosen = self.variants or tuple(available)
        if missing := [v for v in chosen if v not in available]:
            raise ValueError(
                f"figure {self.name}: no variant {', '.join(missing)} in this study; "
                f"there are {', '.join(available)}"
            )
        return chosen

    def _runs(self, arrays: Arrays) -> Iterator[tuple[str, int]]:
        """(variant, width) of all runs shown."""
        for variant in self._variants(arrays.variants):
            available = arrays.widths(variant)
            for width in sorted(self.widths or available):
                if width not in available:
                    raise ValueError(
                        f"figure {self.name}: variant {variant} has no width {width}; "
                        f"it has {', '.join(map(str, available))}"
                    )
                yield variant, width

    def _named(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with variants called by their labels, for drawing."""
        return table.assign(variant=table["variant"].replace(self.labels))


@section
class MovingFigure(BaseFigure):
    """What the kinds of figure have that can be animated.

    `frames` draws the same table as `draw`, one figure after the other.
    """

    animated: bool = False
    """An animation (gif) with a still picture (png), no svg and pdf."""


def coordinate(x, axis: Axis):
    """The angle of points (m d) in their first two coordinates, or the first."""
    if axis == "x":
        return x[:, 0]
    if x.shape[1] < 2:
        raise ValueError("points of one coordinate have no angle: say `axis: x`")
    return np.arctan2(x[:, 1], x[:, 0])


def curve_rows(x, values, **columns) -> pd.DataFrame:
    """Values over the coordinate, ascending."""
    order = np.argsort(x, kind="stable")
    return pd.DataFrame({**columns, "x": x[order], "value": values[order]})


def unknown(key: str, what: str, asked: Iterable, known: Iterable) -> Iterator[Fault]:
    """A fault for each of those asked for that are not known."""
    for missing in sorted(set(asked) - set(known)):
        there = ", ".join(map(str, known))
        near = did_you_mean(str(missing), known) if isinstance(missing, str) else ""
        yield Fault((key,), f"no {what} {missing}: there are {there}{near}")


def out_of_range(key: str, what: str, number: int, count: int) -> Iterator[Fault]:
    """A number that is not below the count of what there is."""
    if number >= count:
        there = f"there {'is' if count == 1 else 'are'} {count}, from 0"
        yield Fault((key,), f"no {what} {number}: {there}")


def check_output(output: int, e: Experiment) -> Iterator[Fault]:
    """Refuse an output that the networks do not have."""
    if sizes := e.dataset.stated_sizes:
        yield from out_of_range("output", "output", output, sizes.outputs)


def check_seed(figure, e: Experiment) -> Iterator[Fault]:
    """Refuse a network that is not among those of each width shown."""
    if figure.seed is not None:
        shown = [w for w in e.widths if w in (figure.widths or e.widths)]
        seeds = min(map(e.seeds_at, shown), default=figure.seed + 1)
        yield from out_of_range("seed", "seed", figure.seed, seeds)


def check_angle(key: str, axis: Axis, e: Experiment) -> Iterator[Fault]:
    """Refuse the angle of points of one coordinate."""
    sizes = e.dataset.stated_sizes
    if axis == "angle" and sizes and sizes.dimension == 1:
        text = "no angle, as the points have one coordinate: say axis: x"
        yield Fault((key,), text)


def check_last_layer(e: Experiment) -> Iterator[Fault]:
    """Refuse the kernel of the last hidden layer where there is none."""
    if not e.model.has_last_layer:
        yield Fault(("kernel",), "no last layer: say kernel: ntk")


def learning_rate_of(arrays, variant) -> float:
    """Learning rate η: time is η · step."""
    return arrays.experiment(variant).training.learning_rate


def shown_seeds(network, seed: int | None) -> np.ndarray:
    """Indices of the networks that did not diverge, or of the one asked for."""
    kept = np.flatnonzero(~network["diverged"])
    if seed is None:
        return kept
    if seed >= len(network["diverged"]):
        raise ValueError(
            f"there is no seed {seed}: there are {len(network['diverged'])}, from 0"
        )
    return kept[kept == seed]


def traced_matrix(kernel):
    """Trace over outputs of (m, k, n, k), divided by k: (m, n)."""
    return np.einsum("mknk->mn", kernel) / kernel.shape[1]


def kernel_at(network, name, seed, when):
    """One kernel (n n) of a network: of its seed, at its first or last snapshot."""
    kernel = network[name][seed, when]
    return traced_matrix(kernel) if name == "ntk" else kernel


def concatenated(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """One table of the frames, with these columns even where there is none."""
    frames = [frame.reindex(columns=columns) for frame in frames]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)
