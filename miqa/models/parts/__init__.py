"""Parts shared by methods: heads, losses, preprocessor, frozen encoders, checkpoints, weights."""
