"""The path of a user's file of numbers in a study file."""

from typing import Annotated

from pydantic import Field

# {…} and <…> would be wildcards of Snakemake, and -… a command-line option
FilePath = Annotated[
    str,
    Field(pattern=r"^[^-\x00-\x1f{}<>][^\x00-\x1f{}<>]*$", max_length=1000),
]
"""Path, relative to the workflow's working directory."""
