#!/bin/sh
# Says how the job of submit.sh fares.
cat "$1/status" 2>/dev/null || echo running
