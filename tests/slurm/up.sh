#!/usr/bin/env bash
# Starts a SLURM of one node (munged, slurmctld, slurmd) for the tests, without systemd
# and accounting, with all files in one folder, and with a fake GPU.
#
#   tests/slurm/up.sh FOLDER
#   export SLURM_CONF=FOLDER/slurm.conf PATH=FOLDER/bin:$PATH
#   sbatch … squeue …
#   tests/slurm/down.sh FOLDER
#
# With INSTALL=yes, root installs missing packages of Debian.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
host=$(hostname -s)
cores=$(nproc)
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 1024))
me=$(id -un)
export PATH=$PATH:/usr/sbin

if ! command -v slurmctld >/dev/null && [ "${INSTALL-}" = yes ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurmctld slurmd slurm-client munge >/dev/null
fi

# every daemon looks up the name of the host, and exits if there is no entry
getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts

mkdir -p "$folder"/state "$folder"/spool
chmod 755 "$folder"
export SLURM_CONF=$folder/slurm.conf
socket=$folder/munge.socket
if ! [ -s "$folder/munge.key" ]; then
    (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
fi
munged --force --key-file="$folder/munge.key" --socket="$socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
    --seed-file="$folder/munged.seed" 2>"$folder/munged.err"

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

cat >"$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# checks the memory of each job every second, and ends the job if it takes too much
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=100000
MinJobAge=3600
InactiveLimit=0
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
# SLURM only counts GPUs here, so any device file will do
echo "NodeName=$host Name=gpu File=/dev/zero" >"$folder/gres.conf"
echo "CgroupAutomount=no" >"$folder/cgroup.conf"

# Snakemake removes SLURM_CONF from the environment of processes within a job
mkdir -p "$folder/bin"
printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" \
    >"$folder/bin/srun"
chmod +x "$folder/bin/srun"

slurmctld -c -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 200); do
    [ "$(sinfo -h -o %T 2>/dev/null | head -1)" = idle ] && break
    sleep 0.1
done
sinfo -h -o "%P %T %c cores %m MB %G"
