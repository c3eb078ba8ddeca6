"""What runs models to compare them: methods, resampling by source, baselines, and the benchmark itself."""
