#!/bin/sh
# Prints the status of a job of submit.sh.
cat "$1/status" 2>/dev/null || echo running
