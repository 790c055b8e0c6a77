# The reference billing service and the Stripe simulator, for compose.yaml. It holds no secret.
FROM python:3.11-slim-bookworm

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY ci ci
COPY dashboards dashboards
COPY docs/REQUIREMENTS.md docs/REQUIREMENTS.md
COPY fixtures fixtures
COPY harness harness
COPY simulators simulators
COPY suites suites
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

RUN useradd --uid 10001 --no-create-home billing && mkdir /data && chown billing /data
USER billing
EXPOSE 8000
CMD ["python", "-P", "-m", "harness.stack.container"]
