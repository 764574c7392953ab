"""The experiments of the Neural Tangent Kernel literature as one study.

`import ntkpipe` imports nothing heavy: take what you need from its packages,
`from ntkpipe.kernels import ntk, infinite_kernels`, `from ntkpipe.models import MLP`, …
"""

__version__ = "0.1.0"
