# The images of seglab; docs/deploy.md says how each is used, `make deploy-check` tries these very steps without an engine.
#   docker build -t seglab-serve .                   the service of an exported folder, without TensorFlow (the last stage)
#   docker build --target app -t seglab-app .        the pages in a browser
#   docker build --target lab -t seglab-lab .        everything: training, export, registry, MLflow's server
#
# An exact tag and no digest: no registry could be asked where this was written. `docker buildx imagetools inspect $BASE`
# tells the digest; then: docker build --build-arg BASE=debian:bookworm-20260803-slim@sha256:…
ARG BASE=debian:bookworm-20260803-slim

FROM ${BASE} AS python
ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/seglab/bin:/usr/local/bin:/usr/bin:/bin
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# What users leave stands in /srv/seglab, and in folders that volumes are mounted on: a new volume takes their owner.
RUN groupadd --gid 10001 seglab \
    && useradd --uid 10001 --gid seglab --home-dir /srv/seglab --create-home --shell /usr/sbin/nologin seglab \
    && install --directory --owner seglab --group seglab /artifacts /backup /kept /model

FROM python AS run
COPY deploy/start.sh /usr/local/bin/start
COPY deploy/healthy.py /usr/local/bin/healthy

FROM python AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
WORKDIR /build
COPY requirements.txt requirements-dev.txt pyproject.toml setup.py README.md LICENSE THIRD_PARTY.md ./
# An empty package stands for seglab while what it needs is installed: a change of the code installs the code anew, no more.
RUN grep --no-filename --invert-match '^-' requirements.txt requirements-dev.txt > pins.txt \
    && mkdir --parents src/seglab && touch src/seglab/__init__.py && python3 -m venv /opt/seglab

FROM build AS packages-serve
RUN pip install --quiet --no-cache-dir --no-compile --constraint pins.txt '.[serve]'

FROM build AS packages-app
RUN pip install --quiet --no-cache-dir --no-compile --constraint pins.txt '.[app]'

# Here size matters less than the start: with bytecode.
FROM build AS packages-lab
RUN pip install --quiet --no-cache-dir --constraint pins.txt \
    '.[train,search,cluster,slides,export,app,postgres]'

FROM build AS wheel
COPY conf conf
COPY src src
# The version, which files without git do not tell: --build-arg VERSION=1.2.3
ARG VERSION=
RUN { test -z "$VERSION" || printf 'Metadata-Version: 2.1\nName: seglab\nVersion: %s\n' "$VERSION" > PKG-INFO; } \
    && pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels .

FROM packages-serve AS build-serve
COPY --from=wheel /wheels /wheels
COPY deploy/thin.sh ./
RUN pip install --quiet --no-compile --no-deps --force-reinstall /wheels/*.whl && sh thin.sh /opt/seglab

FROM packages-app AS build-app
COPY --from=wheel /wheels /wheels
COPY deploy/thin.sh ./
RUN pip install --quiet --no-compile --no-deps --force-reinstall /wheels/*.whl && sh thin.sh /opt/seglab

FROM packages-lab AS build-lab
COPY --from=wheel /wheels /wheels
RUN pip install --quiet --no-deps --force-reinstall /wheels/*.whl

FROM run AS lab
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ENV NO_ALBUMENTATIONS_UPDATE=1 MLFLOW_DISABLE_TELEMETRY=true TF_CPP_MIN_LOG_LEVEL=2
COPY --from=build-lab /opt/seglab /opt/seglab
COPY deploy/known_store.py /usr/local/bin/known-store
USER seglab
WORKDIR /srv/seglab
ENTRYPOINT ["start"]
CMD ["seglab", "--help"]

FROM run AS app
COPY --from=build-app /opt/seglab /opt/seglab
COPY --chown=seglab:seglab deploy/model /model
USER seglab
WORKDIR /srv/seglab
ENV PORT=8511
EXPOSE 8511
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["healthy", "8511", "/api/health"]
ENTRYPOINT ["start"]
CMD ["sh", "-c", "exec seglab app /model host=0.0.0.0 port=$PORT"]

FROM run AS serve
COPY --from=build-serve /opt/seglab /opt/seglab
COPY --chown=seglab:seglab deploy/model /model
USER seglab
WORKDIR /srv/seglab
ENV PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["healthy", "8000", "/health"]
ENTRYPOINT ["start"]
CMD ["sh", "-c", "exec seglab serve /model host=0.0.0.0 port=$PORT"]
