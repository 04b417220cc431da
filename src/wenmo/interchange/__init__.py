"""Checkpoints of other systems as ours: their settings, and their weights under our names."""
