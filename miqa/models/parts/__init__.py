"""What the methods share: heads, losses, preprocessor, frozen encoders, checkpoints, weights."""
