#include "run/job_script.h"

#include "run/exit_codes.h"
#include "run/shell.h"

namespace ivory::experiment {

// SIGUSR1 comes before the time limit: the part saves and is queued again. SIGTERM is a preemption, after which Slurm
// itself queues again, or scancel, which must stay the end. bash runs a trap only between its commands or in `wait`,
// which it then leaves: hence the loop. What the part's process could not write of its end is written after it. Kills
// for lack of memory are those in the job's control group, of the whole machine only where it has none.
std::string array_script(const std::filesystem::path& program, const std::filesystem::path& list,
                         const std::filesystem::path& output) {
  const std::string stopped = std::to_string(interrupted_exit), run = shell_word(program.string());
  return "#!/bin/bash\n"
         "events=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.events\n"
         "[[ -r $events ]] || events=/proc/vmstat\n"
         "kills() { awk '$1 == \"oom_kill\" { print $2 }' \"$events\"; }\n"
         "IFS=$'\\t' read -r experiment part threads < <(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" " +
         shell_word(list.string()) + ")\nkills=$(kills)\n" + run +
         " \"$experiment\" --part \"${part##*/}\" --set experiment.threads=\"${threads:-${SLURM_CPUS_PER_TASK:-1}}\" "
         "&\n"
         "child=$! again=0 code=129\n"
         "trap 'kill -TERM \"$child\" 2>/dev/null' TERM\n"
         "trap 'again=1; kill -TERM \"$child\" 2>/dev/null' USR1\n"
         "while kill -0 \"$child\" 2>/dev/null; do wait \"$child\"; code=$?; ((code > 128)) || break; done\n"
         "((code <= 128)) || { wait \"$child\"; ended=$?; ((ended == 127)) || code=$ended; }\n"
         "if ((again && code == " +
         stopped +
         ")); then scontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"; fi\n"
         "if ((code != 0 && code != " +
         stopped + ")); then\n  " + run + " \"$experiment\" --part \"$part\" --ended \"$code\" --log " +
         shell_word(output.string()) +
         "-\"$SLURM_ARRAY_TASK_ID\".out $( (($(kills) > kills)) && echo --short-of-memory)\nfi\n"
         "exit \"$code\"\n";
}

}  // namespace ivory::experiment
