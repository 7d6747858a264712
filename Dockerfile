# Two images: `app` serves the page `recolor app`, and `pipeline` is the program `recolor` with every extra.
#
#   docker build --target app -t recolor:app .
#   docker build --target pipeline -t recolor:pipeline .
#
# Versions are those of constraints.txt. TORCH_INDEX is the address of a package index with wheels of torch for CPUs, which
# are a tenth as large as those with CUDA; without it, torch comes from pip's own index. docs/docker.md says how to run both.

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PATH=/opt/recolor/bin:$PATH

FROM base AS packages
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/recolor
COPY constraints.txt ./
# A layer of its own: it is the largest, and changes least.
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision
COPY pyproject.toml README.md LICENSE prefect.yaml ./
COPY recolor ./recolor
COPY flows ./flows

FROM packages AS packages-app
RUN pip install -c constraints.txt '.[app]'

FROM packages AS packages-pipeline
RUN pip install -c constraints.txt '.[all]'

# Runs as a user of its own. With `--user`, another one can be given: the home folder can be written to by all.
FROM base AS runtime
RUN useradd --create-home --uid 1000 recolor && chmod 0777 /home/recolor && install -d -m 0777 /workspace
ENV HOME=/home/recolor
WORKDIR /workspace

FROM runtime AS pipeline
# `generator.train.compile` needs a compiler.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY --from=packages-pipeline /opt/recolor /opt/recolor
USER recolor
ENTRYPOINT ["recolor"]
CMD ["--help"]

FROM runtime AS app
COPY --from=packages-app /opt/recolor /opt/recolor
USER recolor
EXPOSE 8710
# Any answer will do, also that the token is missing.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8710, timeout=4); c.request('GET', '/'); exit(c.getresponse().status >= 500)"]
ENTRYPOINT ["recolor", "app", "--host", "0.0.0.0", "--port", "8710", "--no-browser"]
