#!/usr/bin/env bash
# A SLURM cluster of this one machine, to try launcher=slurm on: Debian's packages, two fake GPUs, no accounting.
#   scripts/slurm_node.sh start DIR     install what is missing (as root), start; then: export SLURM_CONF=DIR/slurm.conf
#   scripts/slurm_node.sh stop DIR      stop the daemons that `start` has started and remove DIR
set -euo pipefail

command=${1:-} dir=${2:-}
if [[ ! $command =~ ^(start|stop)$ || -z $dir ]]; then
    sed -n '2,4p' "$0"
    exit 2
fi

stop_by_pidfile() { # FILE: end the daemon that wrote it
    [[ -f $1 ]] || return 0
    local pid
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
}

if [[ $command == stop ]]; then
    stop_by_pidfile "$dir/slurmd.pid"
    stop_by_pidfile "$dir/slurmctld.pid"
    [[ -f $dir/own_munge ]] && stop_by_pidfile /run/munge/munged.pid
    rm -rf "$dir"
    echo "stopped SLURM and removed $dir"
    exit 0
fi

[[ $(id -u) == 0 ]] || { echo "error: must be root to install and start SLURM"; exit 2; }
if ! command -v slurmctld munged >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
fi
mkdir -p "$dir"/{state,spool,log}
dir=$(realpath "$dir")
host=$(hostname -s)
memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)

if ! pgrep -x munged >/dev/null; then
    install -d -o munge -g munge -m 0755 /run/munge /var/log/munge
    [[ -f /etc/munge/munge.key ]] || setpriv --reuid=munge --regid=munge --init-groups /usr/sbin/mungekey --create
    setpriv --reuid=munge --regid=munge --init-groups /usr/sbin/munged
    touch "$dir/own_munge"
fi

cat >"$dir/slurm.conf" <<END
ClusterName=seglab
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1024
SchedulerParameters=sched_interval=2,bf_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=20
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
echo "NodeName=$host Name=gpu File=/dev/tty[1-2]" >"$dir/gres.conf"

export SLURM_CONF=$dir/slurm.conf
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 100); do
    if sinfo -h -o %T 2>/dev/null | grep -q idle; then
        echo "SLURM is up: export SLURM_CONF=$SLURM_CONF"
        exit 0
    fi
    sleep 0.1
done
echo "error: SLURM did not come up"
tail -n 20 "$dir"/log/*.log
exit 1
