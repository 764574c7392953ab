#!/usr/bin/env bash
# Stops the daemons that up.sh started in this folder, by their pid files.
for name in slurmctld slurmd munged; do
    [ -s "$1/$name.pid" ] && kill "$(cat "$1/$name.pid")" 2>/dev/null
done
exit 0
