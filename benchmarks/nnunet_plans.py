"""nnU-Net's side of plan_parity.py, run by the Python that nnunetv2 is installed in; nnU-Net's variables must be set.

usage: nnunet_plans.py JOBS.json ANSWERS.json
JOBS.json: [{"name": a folder in $nnUNet_raw that holds dataset.json, "fingerprint": dict or null, "planner": its name with us,
"memory_gb": float, or null for the planner's own}].
Where the fingerprint is null nnU-Net extracts its own, once for each name. ANSWERS.json: [{"plans", "fingerprint"} or {"error"}].
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
    nnUNetPlannerResEncL,
    nnUNetPlannerResEncM,
    nnUNetPlannerResEncXL,
)
from nnunetv2.paths import nnUNet_preprocessed

PLANNERS = {"default": ExperimentPlanner, "resenc_m": nnUNetPlannerResEncM, "resenc_l": nnUNetPlannerResEncL,
            "resenc_xl": nnUNetPlannerResEncXL}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """The plans that nnU-Net makes for one job."""
    preprocessed = Path(str(nnUNet_preprocessed)) / job["name"]
    preprocessed.mkdir(parents=True, exist_ok=True)
    fingerprint_file = preprocessed / "dataset_fingerprint.json"
    if job["fingerprint"] is None and not fingerprint_file.exists():
        DatasetFingerprintExtractor(job["name"], num_processes=2).run()
    elif job["fingerprint"] is not None:
        fingerprint_file.write_text(json.dumps(job["fingerprint"]))
    # The planner builds a network for each patch that it tries; on the meta device that takes no memory and no time.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"), torch.device("meta"):
        memory = {} if job["memory_gb"] is None else {"gpu_memory_target_in_gb": job["memory_gb"]}
        planner = PLANNERS[job["planner"]](job["name"], **memory)
        planner.plan_experiment()
    plans = json.loads((preprocessed / f"{planner.plans_identifier}.json").read_text())
    return {"plans": plans, "fingerprint": json.loads(fingerprint_file.read_text())}


def main() -> None:
    jobs, answers = json.loads(Path(sys.argv[1]).read_text()), []
    for job in jobs:
        try:
            answers.append(answer(job))
        except Exception as error:  # whatever stops nnU-Net is an answer, too
            answers.append({"error": f"{type(error).__name__}: {error}"})
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
