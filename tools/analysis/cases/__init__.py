"""What ``benchmark.py CASE`` measures: one module a case, with ``add_options(parser)`` and ``run(args)``."""
