"""Code of users: the function that a study file names, and how it is run."""
