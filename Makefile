# A thin layer over the program `coreg`; everything it does can be done with the program alone.
#
#   make pipeline DATASET=eurosat PROFILE=quick SET="co-reg.epochs=20 seed=1"

DATASET   ?= demo
PROFILE   ?= quick
DEVICE    ?= auto
ARTIFACTS ?= artifacts
SEEDS     ?= 1
METHODS   ?= all
STAGE     ?=

CARGO     ?= cargo
TARGET    := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
COREG     := $(TARGET)/release/coreg
FEATURES  ?= $(if $(filter cuda,$(DEVICE)),cuda)

# A benchmark names its device; what is merely at hand does not decide.
bench-device = $(if $(filter file,$(origin DEVICE)),cpu,$(DEVICE))

# Some shells have a variable NAME of their own, so only the command line counts.
own     = --images "$(IMAGES)" $(if $(filter command,$(origin NAME)),--name "$(NAME)") \
          $(if $(filter command,$(origin DATASET)),--dataset "$(DATASET)")
choice  = --artifacts "$(ARTIFACTS)" $(if $(IMAGES),$(own),--dataset "$(DATASET)") --profile "$(PROFILE)" \
          --device "$(DEVICE)" $(if $(METHOD),--method "$(METHOD)") $(if $(CLASSES),--classes "$(CLASSES)") \
          $(if $(CLIP),--clip "$(CLIP)") $(if $(VOTES),--votes "$(VOTES)") $(if $(LABELS),--labels "$(LABELS)") \
          $(if $(SHOTS),--shots "$(SHOTS)") $(if $(TRUTH),--truth "$(TRUTH)") $(if $(BUDGET),--budget "$(BUDGET)") $(if $(SET),--set "$(SET)")

.PHONY: pipeline predict export export-labels plan explain ablations compare runs compare-runs show verify clean-cache build test test-fast check bench demo-clip help

help:
	@echo 'make pipeline [DATASET=demo] [PROFILE=quick|paper] [METHOD=co-reg|pico|alim|…] [CLIP=owner/name] [LABELS="synthetic q=0.05 eta=0.3"] [SET="stage.key=value …"] [BUDGET=small|medium|large] [DEVICE=cpu|cuda|auto] [OPEN=1]'
	@echo 'make pipeline IMAGES=folder [CLASSES=classes.txt] [NAME=mine]   images of your own'
	@echo 'make pipeline VOTES=votes.parquet [LABELS=clip+votes]           votes of other models, or of people'
	@echo 'make pipeline SHOTS=4 | TRUTH=labels.csv [SHOTS=4]               a few labels that humans gave'
	@echo 'make pipeline ONLY=download                                     one stage and what it needs'
	@echo 'make predict IMAGES=photos [STUDENT=demo] [OUTPUT=predictions.csv] [FORCE=1]   what a student takes images for'
	@echo 'make export [STUDENT=demo] [FORMAT=folder|onnx|safetensors] [OUTPUT=folder] [FORCE=1]   a student for other programs'
	@echo 'make export-labels [DATASET=demo] [FORMAT=csv|jsonl|imagefolder|coco|label-studio] [OUTPUT=path] [FORCE=1]'
	@echo 'make runs            which runs are kept'
	@echo 'make compare-runs RUNS="demo~1 demo"                            two or more runs side by side'
	@echo 'make plan            what would run, and why'
	@echo 'make explain STAGE=label'
	@echo 'make ablations [SEEDS=3] [VARIANTS=file.toml]'
	@echo 'make compare [METHODS=all|co-reg,pico,…] [SEEDS=3] [VARIANTS=file.toml]   methods in one table'
	@echo 'make show [DATASET=demo] [STAGE=label] [ID=image]'
	@echo 'make verify          read every kept result and check it'
	@echo 'make clean-cache [OLDER_THAN=30d] [KEEP_UNDER=10GB] [DRY_RUN=1]    remove results that no newest run uses'
	@echo 'make bench [WORK=step|clip|augment|epoch|memory|all] [BATCH=64] [REPEATS=5] [THREADS=2] [DEVICE=cpu|cuda]'
	@echo 'make demo-clip       train the miniature CLIP of the demo again, from nothing'
	@echo 'make test | test-fast | check'

pipeline: build
	@"$(COREG)" run $(choice) $(if $(ONLY),--only "$(ONLY)") $(if $(OPEN),--open)

plan: build
	@"$(COREG)" plan $(choice) $(if $(ONLY),--only "$(ONLY)")

explain: build
	@"$(COREG)" explain "$(STAGE)" $(choice)

predict: build
	@"$(COREG)" predict --artifacts "$(ARTIFACTS)" "$(if $(STUDENT),$(STUDENT),$(DATASET))" "$(IMAGES)" $(if $(OUTPUT),--output "$(OUTPUT)") $(if $(FORCE),--force)

export: build
	@"$(COREG)" export --artifacts "$(ARTIFACTS)" "$(if $(STUDENT),$(STUDENT),$(DATASET))" $(if $(FORMAT),--format "$(FORMAT)") $(if $(OUTPUT),--output "$(OUTPUT)") $(if $(FORCE),--force)

export-labels: build
	@"$(COREG)" export --artifacts "$(ARTIFACTS)" labels "$(if $(filter command,$(origin NAME)),$(NAME),$(DATASET))" $(if $(FORMAT),--format "$(FORMAT)") $(if $(OUTPUT),--output "$(OUTPUT)") $(if $(FORCE),--force)

runs: build
	@"$(COREG)" runs --artifacts "$(ARTIFACTS)"

compare-runs: build
	@"$(COREG)" diff --artifacts "$(ARTIFACTS)" $(RUNS)

compare: build
	@"$(COREG)" compare $(choice) --methods "$(METHODS)" --seeds "$(SEEDS)" $(if $(VARIANTS),--variants "$(VARIANTS)")

ablations: build
	@"$(COREG)" ablations $(choice) --seeds "$(SEEDS)" $(if $(VARIANTS),--variants "$(VARIANTS)")

show: build
	@"$(COREG)" show --artifacts "$(ARTIFACTS)" "$(if $(filter command,$(origin NAME)),$(NAME),$(DATASET))$(if $(STAGE),/$(STAGE))" $(if $(ID),--id "$(ID)")

verify: build
	@"$(COREG)" verify --artifacts "$(ARTIFACTS)"

clean-cache: build
	@"$(COREG)" clean --artifacts "$(ARTIFACTS)" $(if $(OLDER_THAN),--older-than "$(OLDER_THAN)") \
		$(if $(KEEP_UNDER),--keep-under "$(KEEP_UNDER)") $(if $(DRY_RUN),--dry-run)

# Cargo decides what there is to build. It is quiet if nothing changed since the last build, of which the file BUILT
# notes the features; else a line says what is built and how long that takes, and cargo shows how far it is: by its own
# bar on a terminal, elsewhere by a line every 25 crates.
BUILT   := $(TARGET)/release/coreg.built
BUILD    = $(CARGO) build --release --locked --package stages --bin coreg $(if $(FEATURES),--features $(FEATURES))
SOURCES := Cargo.toml Cargo.lock pipeline/Cargo.toml pipeline/src stages/Cargo.toml stages/src data
EVERY_25 = awk '/^status=/ { exit substr($$0, 8) } !/^ *Compiling/ { print } /^ *Compiling/ && ++crates % 25 == 0 { print "    " crates " crates" } { fflush() }'

build:
	@if [ ! -x "$(COREG)" ] || [ "$$(cat "$(BUILT)" 2>/dev/null)" != 'features: $(FEATURES)' ]; then \
		echo 'builds coreg for the first time: about 330 crates, five to eight minutes on two cores' >&2; quiet=; \
	elif [ -n "$$(find $(SOURCES) -newer "$(BUILT)" -print | head -n 1)" ]; then \
		echo 'builds coreg again, since its sources changed: about a minute' >&2; quiet=; \
	else quiet=--quiet; fi; \
	if [ -n "$$quiet" ] || [ -t 2 ]; then $(BUILD) $$quiet; \
	else { $(BUILD) 2>&1; echo "status=$$?"; } | $(EVERY_25) >&2; fi \
		&& echo 'features: $(FEATURES)' > "$(BUILT)" \
		|| { echo 'error: coreg did not build' >&2; exit 1; }

# cargo-nextest where it is installed, cargo's own runner elsewhere. Tests that need root or data of their own are
# ignored there; tests/ignored runs them where it can, and says what it cannot.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

test:
	$(CARGO) build --release --locked --workspace --all-targets
	$(if $(NEXTEST),$(CARGO) nextest run --release --locked --workspace --no-fail-fast,$(CARGO) test --release --locked --workspace --all-targets --no-fail-fast)
	$(CARGO) test --release --locked --workspace --doc
	CARGO="$(CARGO)" tests/ignored

# Everything but whole runs of the pipeline.
test-fast:
	$(CARGO) test --release --locked --package pipeline --package stages

# Images a second of the parts that users wait for, one JSON object a line; its fields are explained in
# stages/examples/bench/main.rs. `stages/examples/bench/versus` compares with PyTorch.
bench: WORK    ?= all
bench: BATCH   ?= 64
bench: REPEATS ?= 5
bench: THREADS ?= 2
bench:
	@$(CARGO) run --release --locked --quiet --package stages --example bench $(if $(FEATURES),--features $(FEATURES)) -- \
		--work "$(WORK)" --batch "$(BATCH)" --repeats "$(REPEATS)" --threads "$(THREADS)" --device "$(bench-device)"

# Fixed seeds; writes over the CLIP that is in the repository.
demo-clip:
	$(CARGO) run --release --locked --quiet --package stages --example demo_clip -- data/demo/clip

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --release --locked --workspace --no-deps
