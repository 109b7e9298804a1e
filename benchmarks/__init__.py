"""Measurements of speed and memory, as ratios against a floor taken in the same run."""
