#!/bin/sh
# Runs a job as on another machine: in a new empty folder and, if mounts are allowed, with
# an empty folder in place of the folder of the workflow.
#   submit.sh HIDDEN NODES JOB
set -eu
node=$(mktemp -d "$2/node.XXXXXX")
cp "$3" "$node/job.sh"
run="bash job.sh"
unshare --mount true 2>/dev/null &&
    run="unshare --mount sh -c 'mount -t tmpfs none $1; $run'"
cd "$node"
setsid sh -c "$run >out 2>&1 && echo success >status || echo failed >status" \
    >/dev/null 2>&1 </dev/null &
echo "$node"
