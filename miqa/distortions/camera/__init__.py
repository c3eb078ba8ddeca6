"""What a camera does to a scene, stage by stage: the air, optics, exposure, sensor, colour, ISP and codec.

Each file holds distortions of one stage, named by its ``STAGE``. Functions of the stages before the ISP work in linear
light, float32 RGB (H, W, 3), 1 for white and more for what is brighter; those of ISP and codec work on uint8 RGB. Their
``STRENGTHS`` are five sets of parameters, levels 1 to 5, set by what they cost a classifier
(``tools/data/calibrate_distortions.py``). Lengths are in units of 1/256 of the picture's shorter side, because machines
resize pictures. Everything that is not given is drawn.
"""
