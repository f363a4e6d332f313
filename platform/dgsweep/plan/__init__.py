"""Protocol, split, cell, trial, plan: pure and torch-free."""
