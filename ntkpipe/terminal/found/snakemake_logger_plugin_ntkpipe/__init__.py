"""The package by whose name Snakemake finds the plugin, once ntkpipe is installed."""

from ntkpipe.terminal.plugin import LogHandler

__all__ = ["LogHandler"]
