"""Data sets: sections that draw training and test points.

Points are (n d) and targets (n k) in float64. The random key depends only on the seed
of the study, so that all variants and widths of a study have the same data. With
`data: redraw` it also depends on the number of the network.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ntkpipe.data.circle import Circle
from ntkpipe.data.gaussian import Gaussian
from ntkpipe.data.images import Digits, Mnist5k
from ntkpipe.data.npz import Npz
from ntkpipe.data.points import Points
from ntkpipe.data.sphere import Sphere
from ntkpipe.data.table import Csv

Dataset = Annotated[
    Points | Circle | Gaussian | Sphere | Digits | Mnist5k | Npz | Csv,
    Field(discriminator="kind"),
]
