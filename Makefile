# Shortcuts for developers; a user needs none of them. Commands for users stand in README.md.
PYTHON ?= .venv/bin/python

.PHONY: demo test check reference wheels clean

.venv:
	python3 -m venv .venv
	.venv/bin/pip install --quiet --editable '.[test]'

demo: .venv
	$(PYTHON) -m edgevision demo

test: .venv
	$(PYTHON) -m pytest

check: .venv                # the rules alone: layers, sizes, names, types, documented settings
	$(PYTHON) -m pytest tests/test_rules.py tests/test_documented.py tests/test_install.py

reference: .venv            # after a change of any Settings class
	$(PYTHON) -m edgevision.reference > reference.new && mv reference.new configs/reference.yaml

wheels: .venv               # a folder to install from without internet
	.venv/bin/pip wheel --wheel-dir wheels .

clean:
	rm -rf .venv wheels dist build
