#!/bin/bash
# Stands for sbatch where there is no Slurm: runs every element of the array that it is given, one after the other (what
# they depend on was submitted before them), and writes down in `asked`, beside it, what it was asked for.
[[ $1 == --version ]] && exit 0
here=$(dirname "$0")
echo "$*" >>"$here/asked"
id=$(wc -l <"$here/asked")
for word; do
  case $word in
    --array=0-*) last=${word#--array=0-} ;;
    --output=*) output=${word#--output=} ;;
  esac
done
for i in $(seq 0 "${last:-0}"); do
  SLURM_JOB_ID=$id$i SLURM_ARRAY_JOB_ID=$id SLURM_ARRAY_TASK_ID=$i SLURM_CPUS_PER_TASK=1 bash "${@: -1}" >>"${output//%a/$i}" 2>&1
done
echo "$id"
