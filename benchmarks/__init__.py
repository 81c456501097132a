"""Measurements of speed and memory: ratios against a baseline, side by side."""
