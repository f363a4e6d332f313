"""One training loop in pure PyTorch, resumable to the same numbers; sliding-window inference; scoring."""
