# syntax=docker/dockerfile:1
# Prism's service, for a GPU or without one. From the repository's root:
#   docker build -f docker/prism.Dockerfile --target cuda -t prism:cuda .
#   docker build -f docker/prism.Dockerfile --target cpu -t prism:cpu .

# The Python that all tests run on.
FROM python:3.11-slim-bookworm AS base
# Video needs FFmpeg's libraries; Debian keeps a release's packages compatible.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/*

FROM base AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/prism \
    VIRTUAL_ENV=/opt/prism \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_HTTP_TIMEOUT=300
WORKDIR /src
COPY pyproject.toml uv.lock ./

FROM build AS build-cuda
RUN uv sync --frozen --no-dev --no-install-project
COPY . .
RUN uv sync --frozen --no-dev --no-editable

FROM build AS build-cpu
# PyPI's PyTorch for Linux brings 4 GB of CUDA; PyTorch's own index has the locked versions without it.
RUN uv venv /opt/prism \
 && uv export --quiet --frozen --no-dev --no-emit-project --no-hashes --output-file locked.txt \
 && uv export --quiet --frozen --no-dev --no-emit-project \
    --prune torch --prune torchvision --prune torchcodec --output-file others.txt \
 && uv pip install --no-deps --require-hashes --requirements others.txt \
 && uv pip install --torch-backend cpu --constraints locked.txt torch torchvision torchcodec
COPY . .
RUN uv pip install --no-deps .

FROM base AS service
RUN useradd --create-home --uid 1000 prism \
 && install -d -o prism -g prism /home/prism/.cache
ENV PATH=/opt/prism/bin:$PATH \
    PRISM_HOST=0.0.0.0
USER 1000:1000
# Models from a hub lie in /home/prism/.cache.
WORKDIR /home/prism
EXPOSE 8090 8091
# The first start downloads the models.
HEALTHCHECK --start-period=30m --start-interval=2s --interval=15s --timeout=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8090/.well-known/ready', timeout=4)"]
ENTRYPOINT ["prism"]
CMD ["serve"]

FROM service AS cpu
COPY --from=build-cpu /opt/prism /opt/prism

FROM service AS cuda
COPY --from=build-cuda /opt/prism /opt/prism
