"""What the measured fits say: statistics, cells beside the published ones, verdicts."""
