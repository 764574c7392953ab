"""The experiments of the Neural Tangent Kernel literature as one study.

`import ntkpipe` imports nothing heavy: take what you need from its modules,
`from ntkpipe.empirical import ntk`, `from ntkpipe.infinite import kernels`, …
"""

__version__ = "0.1.0"
