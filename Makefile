# Betang. Every target sets up what it needs; the work is done by scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo play test applet cap lint lock campaigns-reduced ci-user clean
ONCE ?=
SEED ?=

help: ## list the targets
	@grep -hE '^[a-z%][a-z% -]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z% -]+):.*## /\1\t/' | expand -t 20

demo: ## play the story on virtual readers (ONCE=1 ends by itself, SEED=n another story, CARD=applet)
	@CARD='$(CARD)' scripts/setup run
	@.venv/bin/python -m demo $(if $(ONCE),--once) $(if $(SEED),--seed $(SEED)) $(if $(CARD),--card $(CARD))

play: ## the demo's world with three faces in a browser (SEED=n other families, CARD=applet)
	@CARD='$(CARD)' scripts/setup play
	@.venv/bin/python -m demo.play $(if $(SEED),--seed $(SEED)) $(if $(CARD),--card $(CARD))

test: ## run every test (ARGS='tests/unit -k name' for some)
	@scripts/test $(ARGS)

applet: ## build the Java Card applet and run its Java tests (needs a JDK and Maven)
	@scripts/applet

cap: ## convert the applet to a CAP (JC_SDK=the vendor's kit, JC_EXPORTS=GlobalPlatform's; says where from)
	@JC_SDK='$(JC_SDK)' JC_EXPORTS='$(JC_EXPORTS)' JC_TARGET='$(JC_TARGET)' scripts/cap

lint: ## ruff and mypy --strict
	@scripts/setup test
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

lock: ## lock the requirements again (ARGS=--upgrade for newer ones)
	@scripts/setup test
	@scripts/lock $(ARGS)

campaigns-reduced: ## the long campaigns, short enough for CI
	@scripts/campaigns reduced

sim-% fuzz-%: ## one campaign of scripts/campaigns.d (N=units, MINUTES=m, SEED=s, PIECE=one)
	@scripts/setup test
	@N='$(N)' MINUTES='$(MINUTES)' SEED='$(SEED)' PIECE='$(PIECE)' scripts/campaigns.d/$@

mutation: ## faults put into money and crypto code: what no test notices (N=, SEED=, MODULES=, MINUTES=)
	@scripts/setup test
	@N='$(N)' SEED='$(SEED)' MODULES='$(MODULES)' MINUTES='$(MINUTES)' JOBS='$(JOBS)' scripts/mutation

bench: ## measure speed on this machine: docs/benchmarks.md (FAMILIES=n GROWTH=1000,10000: smaller)
	@scripts/setup test
	@$(foreach v,REPEATS TAPS DAYS RECEIPTS GROWTH FAMILIES CARDS TRANSFERS PCSCD,$(if $($v),$v='$($v)')) scripts/bench

bench-faces: ## measure the faces on this machine: pixels, weight, machine time
	@scripts/setup test
	@scripts/bench-faces

ci-user: ## the demo as an ordinary user with sudo (root only)
	@scripts/ci-user

clean: ## remove what was built (.venv stays: remove it by hand)
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
