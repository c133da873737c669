.DEFAULT_GOAL := help
.PHONY: help demo demo-det docs test quick lint clean env-lite env-full

PYTEST_ARGS ?=
# What needs no training, and no process that imports everything anew.
QUICK = tests/test_models/test_losses tests/test_models/test_connectors \
	tests/test_models/test_distillers tests/test_models/test_task_modules \
	tests/test_models/test_data_preprocessors tests/test_utils tests/test_analysis \
	tests/test_diagnosis tests/test_starting tests/test_registry.py \
	--ignore tests/test_utils/test_compilation.py \
	--ignore tests/test_utils/test_processes.py \
	--ignore tests/test_starting/test_writing.py \
	--ignore tests/test_starting/test_writing_boxes.py

help:
	@echo "make demo      show the method at work, on a small data set and a CPU"
	@echo "make demo-det  the same for detectors, with pictures of what they find"
	@echo "make docs      write the documentation as a site into build/site"
	@echo "make test      lint and all tests; PYTEST_ARGS='-k preview' goes to pytest"
	@echo "make quick     lint and the tests that train nothing, in three minutes"
	@echo "make lint      lint, format and types alone"
	@echo "make clean     remove caches and build leftovers; .venv, data, work_dirs stay"
	@echo
	@echo "The first run makes .venv (see tools/dev/setup_env.sh), later ones reuse it;"
	@echo "demo-det, docs, test and lint compile mmcv once, which takes some minutes."

# The script itself knows whether there is anything to install.
env-lite:
	@tools/dev/setup_env.sh lite

env-full:
	@tools/dev/setup_env.sh full

demo: env-lite
	.venv/bin/python tools/demo.py

demo-det: env-full
	.venv/bin/python tools/demo_det.py

docs: env-full
	.venv/bin/python -m sphinx -b html -E -W --keep-going -q docs build/site
	@echo "The site is there: build/site/index.html"

lint: env-full
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

test: lint
	.venv/bin/python -m pytest -n 2 --dist worksteal --durations=10 $(PYTEST_ARGS)

quick: lint
	.venv/bin/python -m pytest -n 2 --dist worksteal $(QUICK) $(PYTEST_ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find pckd_mm tools configs tests -name __pycache__ -type d -prune \
		-exec rm -rf {} + 2>/dev/null || true
