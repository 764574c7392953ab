"""Reproduce the experiments of the Neural Tangent Kernel literature.

`import ntkpipe` imports no other module. Import what you need from its packages:
`from ntkpipe.kernels import ntk, infinite_kernels`, `from ntkpipe.models import MLP`, …
"""

__version__ = "0.1.0"
