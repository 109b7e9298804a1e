# Everything runs from a virtual environment of its own, made from hashed requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run test check format bench faults soak fuzz servers requirements clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: $(VENV)/run.stamp  ## show the main job: sample logs in, alerts out; Ctrl-C stops it
	@rm -rf .run && cp -R deploy/local .run
	@echo "Reading the CloudTrail log files in .run/logs; put more there to see them read."
	@echo "Alerts appear below, between the detector's own log lines."
	@echo "Metrics: http://127.0.0.1:9464/metrics   Health: /healthz, /readyz   Stop: Ctrl-C"
	@echo
	@exec $(BIN)/detector run --config .run/detector.yaml

# Those that start servers and kill processes run one after the other. 5: none was chosen.
test: $(VENV)/dev.stamp  ## run the tests
	@$(BIN)/python -m pytest -n auto --dist worksteal tests/unit tests/conformance $(PYTEST_ARGS) || test $$? = 5
	@$(BIN)/python -m pytest tests/integration tests/faults $(PYTEST_ARGS) || test $$? = 5

servers:  ## install the servers that the fuller tests start, into .servers
	@for script in .ci/servers/*.sh; do bash "$$script" .servers || exit 1; done

check: $(VENV)/dev.stamp  ## lint, formatting, types, and the rules' own tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/detector check
	@$(BIN)/detector test

format: $(VENV)/dev.stamp  ## bring the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/dev.stamp  ## measure a replay, rules, a storm, each way in, and alerts, against floors
	@$(BIN)/python -m benchmarks.replay
	@$(BIN)/python -m benchmarks.matching
	@$(BIN)/python -m benchmarks.storm --events 100000
	@$(BIN)/python -m benchmarks.storm --events 100000 --groups 1
	@$(BIN)/python -m benchmarks.firehose
	@$(BIN)/python -m benchmarks.kinesis
	@$(BIN)/python -m benchmarks.s3
	@$(BIN)/python -m benchmarks.alerts

faults: $(VENV)/dev.stamp  ## kill the service hundreds of times: the long form of the fault tests
	@DETECTOR_KILLS=$${DETECTOR_KILLS:-200} $(BIN)/python -m pytest tests/faults -m faults $(PYTEST_ARGS)

soak: $(VENV)/dev.stamp  ## the long forms of other tests: a flood for five minutes, thirty reshardings, real expiry
	@DETECTOR_SOAK_SECONDS=$${DETECTOR_SOAK_SECONDS:-300} DETECTOR_RESHARDS=$${DETECTOR_RESHARDS:-30} \
	  DETECTOR_ITERATOR_EXPIRY=1 $(BIN)/python -m pytest -s tests/integration/test_back_pressure.py \
	  tests/integration/test_kinesis.py $(PYTEST_ARGS)

# atheris has wheels for few platforms, so that it is no requirement.
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/dev.stamp  ## give parsers and matchers hostile input, FUZZ_SECONDS for each of five
	@DETECTOR_FUZZ_EXAMPLES=$${DETECTOR_FUZZ_EXAMPLES:-20} \
	  $(BIN)/python -m pytest tests/unit/test_hostile_rules.py
	@$(PIP) install --only-binary :all: --require-hashes -r tests/fuzz/requirements.txt || true
	@if $(BIN)/python -c 'import atheris' 2>/dev/null; then \
	  failed=; \
	  for target in patterns rule_files log_files payloads avro_files; do \
	    echo "Fuzzing $$target for $(FUZZ_SECONDS) seconds ..."; \
	    PYTHONHASHSEED=0 $(BIN)/python -m tests.fuzz.$$target -seed=1 \
	      -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 $(FUZZ_ARGS) || failed="$$failed $$target"; \
	  done; \
	  test -z "$$failed" || { echo "Found something:$$failed; see above" >&2; exit 1; }; \
	else \
	  echo "atheris is missing: there is no wheel of it for this Python and platform, or no index" \
	    "to get it from. Nothing was fuzzed but by hypothesis, above." >&2; \
	fi

requirements: $(VENV)/dev.stamp  ## export hashed requirements again (needs uv)
	uv pip compile pyproject.toml $(EXPORT) -o requirements/run.txt
	uv pip compile pyproject.toml --extra dev $(EXPORT) -o requirements/dev.txt
	echo "hatchling editables" | tr ' ' '\n' | uv pip compile - $(EXPORT) -o requirements/build.txt
EXPORT = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --upgrade

clean:  ## remove what the other targets made
	rm -rf $(VENV) .run .servers .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "This Python cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The package itself is installed in place, by a build backend that is pinned like all the rest.
$(VENV)/run.stamp: $(BIN)/python pyproject.toml requirements/build.txt requirements/run.txt
	@echo "Installing the detector into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "Installing the development tools into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
