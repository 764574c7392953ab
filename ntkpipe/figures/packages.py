"""The packages that draw; each is imported when it is first used.

matplotlib, seaborn and Pillow take a second to import. A study is read without them.
"""

from typing import TYPE_CHECKING

from ntkpipe.lazy import Lazy

if TYPE_CHECKING:
    import matplotlib as mpl
    import pandas as pd
    import seaborn as sns
    from matplotlib import artist as martist
    from matplotlib import axes as maxes
    from matplotlib import cm, ticker
    from matplotlib import collections as mcollections
    from matplotlib import colors as mcolors
    from matplotlib import figure as mfigure
    from matplotlib import lines as mlines
    from matplotlib import patches as mpatches
    from matplotlib import transforms as mtransforms
else:
    mpl, pd, sns = map(Lazy, ("matplotlib", "pandas", "seaborn"))
    martist, maxes, cm, mcollections, mcolors = (
        Lazy(f"matplotlib.{name}")
        for name in ("artist", "axes", "cm", "collections", "colors")
    )
    mfigure, mlines, mpatches, ticker, mtransforms = (
        Lazy(f"matplotlib.{name}")
        for name in ("figure", "lines", "patches", "ticker", "transforms")
    )

__all__ = ["cm", "martist", "maxes", "mcollections", "mcolors", "mfigure", "mlines"]
__all__ += ["mpatches", "mpl", "mtransforms", "pd", "sns", "ticker"]
