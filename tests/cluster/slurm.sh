#!/usr/bin/env bash
# A SLURM of one node and two processors in a folder of its own, for tests: slurm.sh start FOLDER | stop FOLDER
# Needs Debian's slurm-wlm and munge, and root; no systemd, no cgroups. `start` prints the SLURM_CONF for sbatch, squeue and so on.
set -euo pipefail
verb=$1 folder=$(realpath -m "$2") host=$(hostname -s)

daemon() { # NAME COMMAND...: start a daemon, and remember its process
    "${@:2}" > "$folder/$1.out" 2>&1 < /dev/null &
    echo $! > "$folder/$1.pid"
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    mkdir -p "$folder/munge"
    chmod 700 "$folder/munge"
    dd if=/dev/urandom bs=1024 count=1 of="$folder/munge/key" 2> /dev/null
    chmod 600 "$folder/munge/key"
    mkdir -p "$folder/socket"
    chmod 755 "$folder/socket"
    daemon munged munged --foreground --force --key-file "$folder/munge/key" --socket "$folder/socket/munge" \
        --pid-file "$folder/munge/pid" --log-file "$folder/munge/log" --seed-file "$folder/munge/seed" --num-threads 2
    cat > "$folder/slurm.conf" << CONF
ClusterName=autoseg
SlurmctldHost=$host
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/socket/munge,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.run
SlurmdPidFile=$folder/slurmd.run
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
MinJobAge=300
NodeName=$host CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=2000 State=UNKNOWN
PartitionName=tests Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF="$folder/slurm.conf"
    for _ in $(seq 50); do [ -S "$folder/socket/munge" ] && break; sleep 0.1; done
    daemon slurmctld slurmctld -D -f "$SLURM_CONF"
    daemon slurmd slurmd -D -f "$SLURM_CONF"
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader -o %T 2> /dev/null)" = idle ]; then
            echo "$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    echo "SLURM did not start; see $folder" >&2
    stop
    exit 1
}

stop() {
    for name in slurmd slurmctld munged; do
        if [ -e "$folder/$name.pid" ]; then
            kill "$(cat "$folder/$name.pid")" 2> /dev/null || true
            rm -f "$folder/$name.pid"
        fi
    done
}

"$verb"
