"""The kinds of figure of a study, one kind a file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ntkpipe.figures.dynamics import Dynamics
from ntkpipe.figures.ellipses import Ellipses
from ntkpipe.figures.function_band import FunctionBand
from ntkpipe.figures.functions import Functions
from ntkpipe.figures.heatmap import Heatmap
from ntkpipe.figures.kernel_slice import KernelSlice
from ntkpipe.figures.landscapes import Landscapes
from ntkpipe.figures.matrices import Matrices
from ntkpipe.figures.modes import Modes
from ntkpipe.figures.principal import Components, Projections
from ntkpipe.figures.scaling import Scaling
from ntkpipe.figures.spectrum import Spectrum
from ntkpipe.figures.trajectories import Trajectories

Figure = Annotated[
    Trajectories
    | Scaling
    | Dynamics
    | Modes
    | FunctionBand
    | Functions
    | KernelSlice
    | Heatmap
    | Spectrum
    | Projections
    | Components
    | Ellipses
    | Landscapes
    | Matrices,
    Field(discriminator="kind"),
]
