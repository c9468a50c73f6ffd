"""From a recipe to an adapter: splits, the training loop, checkpoints, progress."""
