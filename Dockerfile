# Any image with Python 3.11 or newer, venv and pip will do. A release is built on this one only: `make pin-base` writes the digest,
# and the release workflow asks the registry whether it is right and fresh.
ARG BASE=docker.io/library/python:3.13-slim-trixie@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY requirements/ requirements/
# The product's environment gets hash-checked packages and no pip; what builds our own wheel stays in this stage.
RUN python3 -m venv --without-pip /opt/hf-runner-controller \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/hf-runner-controller install --no-cache-dir --no-compile --require-hashes -r requirements/runtime.txt
COPY . .
# Byte code that is checked against nothing: no time stamps in it, and a start reads it whatever the files' times are. None for
# the Kubernetes client's models, which are never loaded (the controller speaks JSON): that alone would be 60 MB. Then one
# time for every file, so that equal sources give equal layers.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/hf-runner-controller install --no-deps --no-index --no-compile /dist/*.whl \
 && PYTHONHASHSEED=0 /opt/hf-runner-controller/bin/python -m compileall -f -q --invalidation-mode unchecked-hash \
      -x '/kubernetes/(aio/)?client/(api|models)/' /opt/hf-runner-controller/lib \
 && find /opt/hf-runner-controller -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
COPY --from=build /opt/hf-runner-controller /opt/hf-runner-controller
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hf-runner-controller" \
      org.opencontainers.image.description="Ephemeral GitHub Actions runners on Hugging Face Jobs, as a Kubernetes operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# No root, and nothing to write: the root file system may be mounted read-only.
ENV PATH=/opt/hf-runner-controller/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["hf-runner-controller"]
