"""Code and files of users: functions that a study file names, and kernels."""
