"""Common to all kinds of figure.

Each kind is a section with two methods. `table` does all statistics and returns the
numbers to draw as one tidy table, which is stored as csv beside the figure. `picture`
draws this table and computes no statistics; `draw` calls it. No method opens a file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, TypeVar

import numpy as np
from pydantic import AfterValidator, Field

from ntkpipe.claims.base import MetricRead
from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import nothing
from ntkpipe.figures.labels import LABELS
from ntkpipe.figures.packages import mfigure, pd
from ntkpipe.figures.style import PAGE, style
from ntkpipe.metric import SQUARES
from ntkpipe.models.parameterizations import HUGE
from ntkpipe.section import Fault, did_you_mean, section

if TYPE_CHECKING:
    from ntkpipe.claims import Claim
    from ntkpipe.figures.chart import Chart


def _drawable(text: str) -> str:
    """Raise ValueError if a text has a formula that matplotlib can't draw."""
    if "$" in text:  # matplotlib is imported for formulas only
        from matplotlib import cbook, mathtext

        try:
            if cbook.is_math_text(text):
                mathtext.MathTextParser("path").parse(text)
        except ValueError as error:
            reason = str(error).splitlines()[-1].partition(": ")[2]
            reason = textwrap.shorten(reason, 70, placeholder=" …")
            raise ValueError(
                f"the formula between $ and $ is invalid: {reason}"
            ) from None
    return text


Text = Annotated[str, AfterValidator(_drawable)]
T = TypeVar("T")
# not a setting of the figure's job, because the picture does not depend on it
ForPage = Annotated[T, Field(exclude=True)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Axis = Literal["angle", "x"]
Index = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
# its product with the 10th power of a width is finite
Abscissa = Annotated[float, Field(ge=1 / HUGE, le=HUGE)]
Begin = Annotated[float, Field(gt=0)]

NO_TEST_KERNEL = Fault(
    ("points",),
    "no kernels of test points: set training.test_kernel: true, or points: train",
)

P10, P90 = -1.2815515655446004, 1.2815515655446004  # of the standard normal


class Arrays(Protocol):
    """Access of a figure to the arrays and claims of a study."""

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


SYMBOLS = {"ntk": "Θ", "nngp": "Σ"}
DIVERGED = "all networks of this figure diverged"
RECORDED = ("loss", "weight_change", "weight_distance", *LABELS)
"""Quantities that trainings record at each step; they are not metrics."""


@section
class BaseFigure:
    """The keys of all figures."""

    name: Slug
    """File name, without ending."""
    title: str
    """Heading on the page."""
    caption: str
    """One or two sentences that describe the figure."""
    after: str = ""
    """The published figure that it regenerates."""
    variants: tuple[str, ...] | None = None
    """Variants shown, by default all."""
    widths: tuple[int, ...] | None = None
    """Widths shown, by default all."""
    labels: dict[str, Text] = Field(default_factory=dict)
    """Labels of the variants in the figure, by default their names."""
    how_to_read: ForPage[str] = ""
    """One or two sentences for the page: how to read the figure, what to notice."""
    claims: ForPage[tuple[str, ...] | None] = None
    """Ids of the claims that the page shows beside the figure, by default those about
    the same metrics and variants. The only figure of a study shows all claims."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        return ()

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics that the figure reads, and the variants that must record them."""
        yield from ()  # kinds of figure override this

    def variants_read(self) -> tuple[str, ...]:
        """The variants that the figure names."""
        return self.variants or ()

    def claims_shown(self, claims: Iterable[Claim]) -> tuple[Claim, ...]:
        """The claims of a study whose results the figure shows."""
        del claims
        return ()

    takes_redrawn: ClassVar[bool] = False
    """Whether the figure can show networks that see different data."""

    def unmet(self, e: Experiment) -> Iterator[Fault]:
        """Requirements of the figure that an experiment does not meet."""
        if "dataset" in self.reads and e.data == "redraw" and not self.takes_redrawn:
            yield Fault((), "shows one data set: it can't show data: redraw")
        if "limit" in self.reads and not e.has_limit:
            yield Fault((), "no limit: set limit: steps or flow")
        if "linearized" in self.reads and not e.has_linearized:
            text = "no linearised model: set linearize: steps or flow"
            if not e.has_networks:
                text = "model.kind: kernel has no linearised model besides its own "
                text += "outputs: leave out linearized"
            yield Fault((), text)
        if {"network", "linearized"} & set(self.reads):
            yield from unknown("widths", "width", self.widths or (), e.widths)
        yield from self._unmet(e)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        del e
        yield from ()  # kinds of figure override this

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """The numbers to draw."""
        raise NotImplementedError

    def draw(self, table: pd.DataFrame, width: float = PAGE) -> mfigure.Figure:
        """The picture of a table, `width` inches wide.

        The picture is a sentence if no network is left to draw.
        """
        if self._lacks_runs(table):
            return nothing(DIVERGED, width)
        with style(width):
            return self.picture(self._named(table))

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """The picture of a table that has the labels of the variants."""
        raise NotImplementedError

    def chart(self, table: pd.DataFrame) -> Chart | None:
        """The mapping of a table to an interactive chart; None if there is none."""
        if self._lacks_runs(table) or table.empty:
            return None
        return self.columns(self._named(table))

    def columns(self, table: pd.DataFrame) -> Chart | None:
        """The mapping of a table that has the labels of the variants."""
        del table
        return None  # kinds of figure override this

    def _lacks_runs(self, table: pd.DataFrame) -> bool:
        return "width" in table and not (table["width"] > 0).any()

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
        """The table with the labels of variants in place of their names."""
        return table.assign(variant=table["variant"].replace(self.labels))


@section
class MovingFigure(BaseFigure):
    """The keys of the kinds of figure that can be animated.

    `frames` draws the same table as `draw`, one figure after the other.
    """

    animated: bool = False
    """Whether to write an animation (gif) and a still picture (png), not png, svg and
    pdf."""

    def frames(self, table: pd.DataFrame) -> Iterator[mfigure.Figure]:
        """The pictures of the animation."""
        if self._lacks_runs(table):
            yield nothing(DIVERGED)
        else:
            yield from self.moving(self._named(table))

    def moving(self, table: pd.DataFrame) -> Iterator[mfigure.Figure]:
        """The pictures of a table that has the labels of the variants."""
        raise NotImplementedError


@section
class NetworkFigure(BaseFigure):
    """The key of the kinds of figure that show one network."""

    seed: Index = 0
    """The network that is shown, counted from 0."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        yield from check_seed(self.seed, self.widths, e)


@section
class OutputFigure(BaseFigure):
    """The key of the kinds of figure that show one output."""

    output: Index = 0
    """The output that is shown, counted from 0."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        if sizes := e.dataset.stated_sizes:
            yield from out_of_range("output", "output", self.output, sizes.outputs)


@section
class InputFigure(BaseFigure):
    """The key of the kinds of figure that show functions of the input."""

    axis: Axis = "angle"
    """Angle γ of x = (cos γ, sin γ), or x itself (its first coordinate)."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        yield from check_angle("axis", self.axis, e)


@section
class LimitFigure(BaseFigure):
    """The key of the kinds of figure that show the limit kernel on request."""

    limit: bool = True
    """Whether the kernel of infinite width is drawn."""
    of_networks: ClassVar[tuple[str, ...]] = ("dataset", "network")

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        return (*self.of_networks, "limit") if self.limit else self.of_networks


@section
class KernelFigure(BaseFigure):
    """The key of the kinds of figure that show one of two kernels."""

    kernel: Literal["ntk", "nngp"] = "ntk"
    """`ntk` is the tangent kernel, `nngp` the kernel of the last layer."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        if self.kernel == "nngp" and not e.model.has_last_layer:
            yield Fault(("kernel",), "no last layer: set kernel: ntk")


def only_squares(key: str, e: Experiment) -> Iterator[Fault]:
    """A fault if an experiment has another loss: its residual f − y decays by no λ."""
    if not SQUARES.met(e):
        yield Fault((key,), f"needs {SQUARES.words}")


@section
class TimeFigure(BaseFigure):
    """The key of the kinds of figure over training time."""

    log_x: bool = False
    """Logarithmic axis of time, linear from 0 to the first recorded step."""


@section
class Prediction:
    """The key of a predicted power law."""

    predicted: float | dict[str, float] | None = None
    """Predicted slope (dashed line), for all variants or by variant."""

    def slope(self, variant: str) -> float:
        """Predicted slope of a variant; NaN where nothing is predicted."""
        slope = self.predicted
        if isinstance(slope, dict):
            slope = slope.get(variant)
        return np.nan if slope is None else slope


def coordinate(x, axis: Axis):
    """Points (m d): the angle in their first two coordinates, or the first of these."""
    if axis == "x":
        return x[:, 0]
    if x.shape[1] < 2:
        raise ValueError("points of one coordinate have no angle: set axis: x")
    return np.arctan2(x[:, 1], x[:, 0])


def curve_rows(x, values, **columns) -> pd.DataFrame:
    """Rows x, value in the order of x."""
    order = np.argsort(x, kind="stable")
    return pd.DataFrame({**columns, "x": x[order], "value": values[order]})


def unknown(key: str, what: str, asked: Iterable, known: Iterable) -> Iterator[Fault]:
    """A fault for each requested name that does not exist."""
    for missing in sorted(set(asked) - set(known)):
        there = ", ".join(map(str, known))
        near = did_you_mean(str(missing), known) if isinstance(missing, str) else ""
        yield Fault((key,), f"no {what} {missing}: there are {there}{near}")


def out_of_range(key: str, what: str, number: int, count: int) -> Iterator[Fault]:
    """A fault if a number, counted from 0, is not below the count."""
    if number >= count:
        there = f"there {'is' if count == 1 else 'are'} {count}, counted from 0"
        yield Fault((key,), f"no {what} {number}: {there}")


def check_seed(
    seed: int | None, widths: tuple[int, ...] | None, e: Experiment
) -> Iterator[Fault]:
    """A fault if a width that is shown does not have the network `seed`."""
    if seed is not None:
        shown = [w for w in e.widths if w in (widths or e.widths)]
        seeds = min(map(e.seeds_at, shown), default=seed + 1)
        yield from out_of_range("seed", "seed", seed, seeds)


def check_angle(key: str, axis: Axis, e: Experiment) -> Iterator[Fault]:
    """A fault if the axis is the angle of points of one coordinate."""
    sizes = e.dataset.stated_sizes
    if axis == "angle" and sizes and sizes.dimension == 1:
        text = "no angle, as the points have one coordinate: set axis: x"
        yield Fault((key,), text)


def learning_rate_of(arrays, variant) -> float:
    """The learning rate η; time is η · step."""
    return arrays.experiment(variant).training.learning_rate


def shown_seeds(network, seed: int | None) -> np.ndarray:
    """Indices of the networks that did not diverge: all of them, or only `seed`."""
    kept = np.flatnonzero(~network["diverged"])
    if seed is None:
        return kept
    if seed >= len(network["diverged"]):
        raise ValueError(
            f"no seed {seed}: there are {len(network['diverged'])}, counted from 0"
        )
    return kept[kept == seed]


def traced_matrix(kernel):
    """Trace over outputs of (m, k, n, k), divided by k: (m, n)."""
    return np.einsum("mknk->mn", kernel) / kernel.shape[1]


def kernel_at(network, name, seed, when):
    """The kernel (n n) of the network `seed` at its first (0) or last (−1) snapshot."""
    kernel = network[name][seed, when]
    return traced_matrix(kernel) if name == "ntk" else kernel


def concatenated(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """One table of all frames, with these columns even if there is no frame."""
    frames = [frame.reindex(columns=columns) for frame in frames]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)
