# The server, for CPUs: docs/service.md says how to run it.
#   docker build -t miqa .
FROM python:3.11-slim AS build
# Builds of PyTorch for CPUs are a tenth of the size; for GPUs name another index, such as .../whl/cu128.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/miqa
WORKDIR /src
COPY requirements.txt setup.py pyproject.toml README.md machine_iqa.py ./
COPY miqa miqa
COPY configs configs
RUN /opt/miqa/bin/pip install --extra-index-url "$TORCH_INDEX" -c requirements.txt '.[train,serve,video,heif]'

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home miqa
COPY --from=build /opt/miqa /opt/miqa
# Weights that are fetched lie in MIQA_HOME: mount a volume there to keep them.
ENV PATH=/opt/miqa/bin:$PATH MIQA_HOME=/models PYTHONUNBUFFERED=1
RUN install -d -o miqa /models
USER miqa
WORKDIR /home/miqa
VOLUME /models
EXPOSE 8000
# /health asks for no token and does not wait for the model to be free.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["miqa"]
CMD ["serve", "--host", "0.0.0.0"]
