"""Compare models: methods, bootstrap by source, baselines, and the benchmark itself."""
