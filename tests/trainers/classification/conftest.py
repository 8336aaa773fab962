"""Plans of pictures of 8 × 8 pixels."""

from tests.tasks.classification.conftest import class_plans

__all__ = ["class_plans"]
