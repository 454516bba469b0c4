# Any image with Python 3.11 or newer, pip and venv; name one by digest for a release.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/ requirements/
# The product's environment gets hash-checked packages and no pip; what builds our own wheel stays in this stage.
RUN python3 -m venv --without-pip /opt/hf-runner-controller \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/hf-runner-controller install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/hf-runner-controller install --no-deps --no-index /dist/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="hf-runner-controller" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/hf-runner-controller /opt/hf-runner-controller
# No root, and nothing to write: the root file system may be mounted read-only.
ENV PATH=/opt/hf-runner-controller/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["hf-runner-controller"]
