#!/bin/bash
# Trains on 4 machines of 8 GPUs under SLURM: sbatch examples/slurm.sh --cfg kinetics_rs.yaml OUTPUT_DIR /shared/runs/k400
#
# OUTPUT_DIR must be one folder that all machines see. A process that dies brings the job back from the last checkpoint
# by itself (--max-restarts). Two minutes before its time is up the job is told to stop, saves, and queues again.
#SBATCH --job-name=video_rs
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append

# Else processes that are started again find the addresses of the dead ones (pytorch/pytorch#135712).
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" --max-restarts 3 \
    --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$first:29500" \
    tools/train_net.py --resume "$@" &
steps=$!
trap 'again=1; kill -TERM "$steps"' TERM
wait "$steps"
code=$?
if [ -n "$again" ]; then
    wait "$steps"  # the first wait ended with the signal, this one with the saving
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
