"""What each task decides, stores, predicts and reports: one room per task."""
