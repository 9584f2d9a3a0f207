# Parley's tasks. `make help` lists them. Everything that a task needs it installs itself, once: Debian packages, npm
# packages from the lockfiles, and pinned Go tools into the user's cache.

SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-print-directory

CACHE    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/parley
LINT     := $(CACHE)/golangci-lint-v2.15.0/golangci-lint
TESTSUM  := $(CACHE)/gotestsum-v1.13.0/gotestsum
NATS     := $(CACHE)/nats-server-v2.15.2/nats-server
PEBBLE   := $(CACHE)/pebble-v2.10.1/pebble
SUDO     := $(if $(filter 0,$(shell id -u)),,sudo)
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
PAGES    := signal/js api/web
export CGO_ENABLED ?= 0

# The lab makes network namespaces: where that takes sudo, its tests run under it.
export LAB_NATS_SERVER := $(NATS)
export LAB_PEBBLE      := $(dir $(PEBBLE))
AS_ROOT := $(if $(SUDO),-exec 'sudo -n -E')

# A test run prints each test with the time it took, and fails when a test was skipped.
ARTIFACTS := artifacts
TEST       = $(TESTSUM) --format $(2) --format-hide-empty-pkg --jsonfile $(ARTIFACTS)/$(1).json --
NO_SKIPS   = @! grep -h '"Action":"skip".*"Test":' $(ARTIFACTS)/$(1).json || { echo "a test was skipped"; exit 1; }
SYSTEM     = go test $(AS_ROOT) ./internal/lab/system -count=1 -timeout 30m -v -run

##@ Use

run: ## start one whole node on loopback and print the meeting page's address
	@go run ./cmd/parley dev

build: ## build the static binary bin/parley
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/parley ./cmd/parley

web: $(PAGES:%=%/node_modules/.ready) ## rebuild the meeting page that the binary embeds
	cd api/web && npm run build

##@ Test

test: deps unit web-test system bench-short ## run every test, the ones with real browsers included, and see that forwarding costs no more than it did

unit: deps $(TESTSUM) | $(ARTIFACTS) ## run the Go tests beside the code
	@$(call TEST,unit,testname) $$(go list ./... | grep -vE '/internal/lab/system|/bench|/cmd/swarm')
	$(call NO_SKIPS,unit)
	@$(call TEST,bench,testname) -p 1 $$(go list ./bench/... ./cmd/swarm) # they run rooms of many people
	$(call NO_SKIPS,bench)

web-test: $(PAGES:%=%/node_modules/.ready) ## run the TypeScript tests, and prove that the embedded page is fresh
	cd signal/js && npm test
	cd api/web && npm test && npm run verify-dist

system: browser-deps $(NATS) $(PEBBLE) $(TESTSUM) | $(ARTIFACTS) ## run whole nodes as real processes, with real browsers and lossy links
	@$(call TEST,system,standard-verbose) $(AS_ROOT) ./internal/lab/system -count=1 -timeout 30m
	$(call NO_SKIPS,system)

check: $(LINT) $(PAGES:%=%/node_modules/.ready) ## format, lint, types and race
	$(LINT) fmt --diff
	$(LINT) run
	@for page in $(PAGES); do (cd $$page && npm run check); done
	CGO_ENABLED=1 go test -race -short ./...

fmt: $(LINT) ## format all Go code
	$(LINT) fmt

fuzz: ## fuzz every parser of strangers' bytes for FUZZTIME (10s) each
	@go list ./... | while read -r pkg; do \
	  { go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true; } | while read -r name; do \
	    echo "$$name in $$pkg"; \
	    go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
	  done; \
	done

bench-parts: ## run the Go benchmarks beside the code
	go test -run '^$$' -bench . -benchmem ./...

##@ Show: each prints a table of its figures

browsers: deps browser-deps ## three browsers in a meeting, a fourth in the lobby
	@$(SYSTEM) '^TestBrowsers'

layers: deps browser-deps ## a tile shrinks and grows, the received layer follows
	@$(SYSTEM) '^TestLayers'

timings: ## 50 joins, p50 and p95 of every step against the budgets
	@$(SYSTEM) '^TestTimings'

footprint: ## memory and goroutines of a viewer, CPU and first audio of a join
	@$(SYSTEM) '^TestFootprint'

loss: deps browser-deps ## a call over a link that loses 5 % of its packets
	@$(SYSTEM) '^TestLoss'

roam: deps browser-deps ## clients in Go and in a browser change networks in the middle of a call
	@$(SYSTEM) '^TestLab(ChangeOfNetwork|Rebinding|LongAbsence|ServerIsGoneMeanwhile|BrowserChangesNetwork)$$'

hostile: ## token attacks, floods, bombs: a clear error, no growth, nobody disturbed
	@$(SYSTEM) '^TestHostile'

durable: ## kill -9 right after a 201, 50 times
	@$(SYSTEM) '^TestKill'

regions: ## one meeting over nodes in three regions
	@$(SYSTEM) '^TestRegions'

lab: deps browser-deps $(NATS) ## three regions, 80 ms and 1 % loss apart, with NATS and nodes in each: one room, outages, partitions, kills
	@$(SYSTEM) '^TestLab'

lab-full: deps browser-deps $(NATS) ## the same for real: 20 kills, NATS away for 60 s, a region cut off for 60 s
	@LAB_FULL=1 go test $(AS_ROOT) ./internal/lab/system -count=1 -timeout 60m -v -run '^TestLab'
bandwidth: deps browser-deps $(NATS) janus ## narrow, lossy, shared and cut links, 500 joins at once, and Janus on the same links: tables, and plots into RESULTS (artifacts)
	@LAB_FULL=1 LAB_RESULTS=$(abspath $(or $(RESULTS),$(ARTIFACTS)/bandwidth)) go test $(AS_ROOT) ./internal/lab/system -count=1 -timeout 60m -v -run '^TestLabBandwidth'
nat: deps browser-deps ## joins from behind every NAT and firewall, by Go client and browser, each step against its budget
	@LAB_FULL=1 $(SYSTEM) '^TestHome'
drain: ## a node is drained in the middle of a call
	@$(SYSTEM) '^TestDrain'
tls: deps browser-deps $(PEBBLE) ## HTTPS, WebSocket and TURN on one port: certificates replaced under a call, ACME, floods
	@$(SYSTEM) '^TestTLS'
diagnosis: deps browser-deps ## every symptom of the README's table, brought about and named
	@$(SYSTEM) '^TestDiagnosis'
tiers: ## signalling and media on different nodes, and either dies
	@$(SYSTEM) '^TestTiers'

MEASURE = go run ./bench/measure
SOAK   ?= 1h
bench: ## CPU of a forwarded packet: the floor, Parley, plain pion; fails when Parley's ratio to the floor is 15 % worse than the kept one
	@$(MEASURE) path $(BENCHFLAGS)
bench-short: ## the same in a minute: three loads, without pion; fails only for what is certain on a quiet machine
	@$(MEASURE) path -short $(BENCHFLAGS)
bench-keep: ## the same as bench, and keep the result in bench/results
	@$(MEASURE) path -write $(BENCHFLAGS)
curves: | $(ARTIFACTS) ## CPU, memory and goroutines of a node against viewers and cameras: straight lines, plotted
	@$(MEASURE) curves -dir $(ARTIFACTS)/curves
soak: | $(ARTIFACTS) ## SOAK (1h) of people who come, lose their sockets and go: goroutines, files and memory stay flat
	@$(MEASURE) soak -for $(SOAK) -dir $(ARTIFACTS)/soak $(SOAKFLAGS)
rest-rate: ## 500 meetings created a second for a minute, p99 below 80 ms
	@$(MEASURE) rest-rate
headline: deps $(NATS) ## one room in three regions: 25 cameras and 500 viewers for five minutes; 1 × 500 and 9 × 500 with a large speaker
	@LAB_FULL=1 $(SYSTEM) '^TestLabHeadline'
bench-turn: deps ## CPU of a relayed packet, Parley's process beside coturn's
	@LAB_FULL=1 $(SYSTEM) '^TestRelayCost'

##@ Needs

# Debian packages are asked for only where the command they bring is missing.
deps: ## install the Debian packages that the tests need
	@missing=(); \
	need() { command -v "$$1" >/dev/null || [ -x "/usr/sbin/$$1" ] || missing+=("$${@:2}"); }; \
	need chromium chromium fonts-dejavu-core; \
	need nft nftables; \
	need ip iproute2; \
	need node nodejs; \
	need npm npm; \
	need turnutils_uclient coturn; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$${missing[@]}"; \
	  if [[ " $${missing[*]} " == *" coturn "* ]] && command -v systemctl >/dev/null; then $(SUDO) systemctl disable --now coturn 2>/dev/null || true; fi; \
	fi
	@node -e 'const [major, minor] = process.versions.node.split(".").map(Number); if (major < 20 || major === 20 && minor < 19) { console.error(`Node ${process.version} is too old: 20.19 or newer is needed`); process.exit(1) }'

browser-deps: internal/lab/browser/node_modules/.ready

janus: ## install the other SFU that bandwidth is compared with
	@command -v janus >/dev/null || $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends janus

# npm ci once for each state of a lockfile. The meeting page uses the client library's sources beside it.
%/node_modules/.ready: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	@touch $@

$(LINT):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

$(TESTSUM):
	GOBIN=$(@D) go install gotest.tools/gotestsum@v1.13.0

$(NATS):
	GOBIN=$(@D) go install github.com/nats-io/nats-server/v2@v2.15.2

$(PEBBLE):
	GOBIN=$(@D) go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1 github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@v2.10.1

$(ARTIFACTS):
	@mkdir -p $@

clean: ## remove what was built here
	rm -rf bin $(ARTIFACTS)

help: ## list the tasks
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run build web test unit web-test system check fmt fuzz bench bench-parts bench-short bench-keep curves soak rest-rate headline bench-turn browsers layers timings footprint loss roam bandwidth janus hostile durable regions drain diagnosis tiers tls nat lab lab-full deps browser-deps clean help
