"""Promptable foundation models (SAM, MedSAM, SAM 2, MedSAM2): architecture, checkpoints, prompts, prediction."""
