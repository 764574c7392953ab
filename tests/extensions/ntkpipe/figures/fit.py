"""Outputs of trained networks against their targets."""

from __future__ import annotations

from typing import ClassVar, Literal

from ntkpipe.figures.axes import panel_grid
from ntkpipe.figures.base import Arrays, BaseFigure, concatenated, shown_seeds
from ntkpipe.figures.packages import mfigure, pd
from ntkpipe.section import section


@section
class Fit(BaseFigure):
    """f(x_i) at the last step against y_i, for each network and training point."""

    kind: Literal["fit"] = "fit"

    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """y and f of the first output."""
        frames = []
        for variant, width in self._runs(arrays):
            y = arrays("dataset", variant)["y_train"][:, 0]
            network = arrays("network", variant, width)
            for seed in shown_seeds(network, None):
                row = {"variant": variant, "width": width, "seed": seed, "y": y}
                f = network["f_train"][seed, -1, :, 0]
                frames.append(pd.DataFrame(row | {"f": f}))
        return concatenated(frames, ["variant", "width", "seed", "y", "f"])

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """A point for each network and training point."""
        figure, axes = panel_grid(1, 1, height=3.0)
        for name, points in table.groupby("variant"):
            axes[0, 0].plot("y", "f", "o", data=points, label=name)
        axes[0, 0].set(xlabel="target y", ylabel="output f(x)")
        axes[0, 0].legend()
        return figure
