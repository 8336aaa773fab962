"""Jobs of a run, each an ordinary command: what needs what (`graph`), where each ran (`record`), and what runs them: this machine
(`here`), or SLURM (`slurm`), by submitit (`submission`) or by scripts that are printed (`scripts`)."""
