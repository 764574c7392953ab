#!/bin/sh
# Runs a job as another machine would: in an empty folder of its own and, where that is
# allowed, with an empty one in place of the workflow's.
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
