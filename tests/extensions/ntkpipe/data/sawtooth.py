"""A function of the angle that rises and falls back."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ntkpipe.data.base import BaseTarget, Count
from ntkpipe.section import section


@section
class Sawtooth(BaseTarget):
    """f*(γ) = kγ/2π modulo 1, of the angle γ of a point in the plane."""

    kind: Literal["sawtooth"] = "sawtooth"
    teeth: Count = 1
    """Number k of teeth."""

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        del key

        def f(x):
            angle = np.arctan2(x[:, 1], x[:, 0]) % (2 * np.pi)
            return (self.teeth * angle / (2 * np.pi) % 1)[:, None]

        return f(x_train), f(x_test)
