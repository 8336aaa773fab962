"""An untrained network in the form of a trained nnU-Net model; run by the Python that nnunetv2 is installed in.

usage: nnunet_untrained.py PLANS.json DATASET.json CONFIGURATION MODEL_FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def main() -> None:
    plans_json, dataset_json, configuration_name, folder = sys.argv[1:]
    fold = Path(folder) / "fold_0"
    fold.mkdir(parents=True, exist_ok=True)
    shutil.copy(plans_json, Path(folder) / "plans.json")
    shutil.copy(dataset_json, Path(folder) / "dataset.json")
    plans, dataset = PlansManager(plans_json), json.loads(Path(dataset_json).read_text())
    configuration = plans.get_configuration(configuration_name)
    torch.manual_seed(0)
    network = get_network_from_plans(
        configuration.network_arch_class_name, configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import, len(dataset["channel_names"]),
        plans.get_label_manager(dataset).num_segmentation_heads, deep_supervision=False)
    torch.save({
        "network_weights": network.state_dict(), "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": configuration_name}, "inference_allowed_mirroring_axes": (0, 1, 2),
    }, fold / "checkpoint_final.pth")


if __name__ == "__main__":
    main()
