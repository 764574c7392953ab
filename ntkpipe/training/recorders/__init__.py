"""The recorders of a training, one in each file."""

from ntkpipe.training.recorders.base import Recorder
from ntkpipe.training.recorders.curvature import Curvature
from ntkpipe.training.recorders.kernel_of_test_points import KernelOfTestPoints
from ntkpipe.training.recorders.kernels import Kernels
from ntkpipe.training.recorders.landscape import OnALine
from ntkpipe.training.recorders.matrix import Matrix
from ntkpipe.training.recorders.moments import Moments
from ntkpipe.training.recorders.origin import Origin
from ntkpipe.training.recorders.outputs import Outputs
from ntkpipe.training.recorders.sharpness import Sharpness
from ntkpipe.training.recorders.unit_changes import UnitChanges
from ntkpipe.training.recorders.weight_gap import WeightGap

RECORDERS: tuple[Recorder, ...] = (
    Outputs(),
    Kernels(),
    Origin(),
    KernelOfTestPoints(),
    Matrix(),
    Curvature(),
    Sharpness(),
    UnitChanges(),
    WeightGap(),
    OnALine(),
    Moments(),
)
"""All recorders, in the order of their keys in `training:`."""
