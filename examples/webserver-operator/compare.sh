#!/usr/bin/env bash
# Measures the three operators and prints the table of docs/extending.md: lines, lines of tests, time of the tests, idle memory.
# compare.sh [PROFILE]: `release` (default) or `dev`. PROA is the server, `target/release/proa` of the project unless set; SITES is
# how many WebServers there are while memory is measured. Needs cargo, Go >= 1.26, kubectl.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
profile=${1:-release}
case $profile in release) folder=release ;; dev) folder=debug ;; *) echo "usage: $0 [release|dev]" >&2; exit 1 ;; esac
target=${CARGO_TARGET_DIR:-$root/target}
proa=${PROA:-$target/$folder/proa}
sites=${SITES:-100}
kubectl=$root/target/tools/kubectl
[ -x "$kubectl" ] || kubectl=kubectl
crd=$here/charts/webserver-operator/crds/webservers.yaml

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap finish EXIT

# Lines that are neither blank nor comment.
lines() { cat "$@" | grep -vcE '^\s*(//.*|#.*)?$'; }
go_sources() { find "$here/go" -maxdepth 1 -name '*.go' "$@" -name '*_test.go'; }

build() {
    cargo build --quiet --profile "$profile" --manifest-path "$here/Cargo.toml" --workspace --bins --target-dir "$target"
    cargo test --quiet --no-run --manifest-path "$here/Cargo.toml" --workspace --target-dir "$target"
    (cd "$here/go" && CGO_ENABLED=0 go build -ldflags '-s -w' -o "$work/operator" . && CGO_ENABLED=0 go test -c -o "$work/go-test" .)
} >&2

# A server with simulated nodes; sets KUBECONFIG and `server`.
serve() {
    local data=$work/$1 port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$proa" server --name "compare-$$-${#started[@]}" --data-dir "$data" --listen 127.0.0.1 --port "$port" --store memory --simulate 1 2>"$work/$1.log" &
    server=$!
    started+=("$server")
    export KUBECONFIG=$data/admin.kubeconfig
    until "$kubectl" wait --for=condition=Ready node/sim-0 --timeout=60s >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || { cat "$work/$1.log" >&2; exit 1; }
    done
}
end() {
    kill "$1"
    wait "$1" 2>/dev/null || true
}

seconds() { # of a command
    local from
    from=$(date +%s%N)
    "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
    awk -v from="$from" -v to="$(date +%s%N)" 'BEGIN { printf "%.1f s", (to - from) / 1e9 }'
}
cargo_test() { cargo test --quiet --manifest-path "$here/Cargo.toml" --target-dir "$target" -p "$1"; }
# Each test defines the kind, so each has a server of its own, as with envtest.
go_test() {
    local test
    for test in $("$work/go-test" -test.list .); do
        serve "go-$test"
        WEBSERVER_CRD=$crd "$work/go-test" -test.run "^$test\$" || return
        end "$server"
    done
}

# Memory of an operator with so many sites, when it has nothing to do any more: resident, and of that its own.
memory() {
    local name=$1 pid before now=
    shift
    serve "memory-$name"
    "$kubectl" apply -f "$crd" >/dev/null
    "$kubectl" wait --for=condition=Established crd/webservers.webserver.example.com --timeout=60s >/dev/null
    "$@" >"$work/$name.out" 2>&1 &
    pid=$!
    started+=("$pid")
    for ((i = 0; i < sites; i++)); do
        echo "{apiVersion: webserver.example.com/v1, kind: WebServer, metadata: {name: site-$i}, spec: {www: page $i}}"
        echo ---
    done | "$kubectl" apply -f - >/dev/null
    "$kubectl" wait --for=condition=Ready webserver --all --timeout=300s >/dev/null
    # At rest: five seconds in which it used no more than 20 ms of CPU.
    while before=$now; now=$(awk '{print $14 + $15}' "/proc/$pid/stat"); [ -z "$before" ] || [ $((now - before)) -gt 2 ]; do sleep 5; done
    awk '/^VmRSS/ {all = $2} /^RssAnon/ {own = $2} END {printf "%.0f MiB (%.0f)", all / 1024, own / 1024}' "/proc/$pid/status"
    end "$pid"
    end "$server"
}

build
kit=$target/$folder/webserver-operator plain=$target/$folder/webserver-operator-plain
cat <<TABLE
| | kit | kube-rs | controller-runtime |
|---|---|---|---|
| lines | $(lines "$here"/src/*.rs) | $(lines "$here"/plain/src/*.rs) | $(lines $(go_sources -not)) |
| lines of tests | $(lines "$here"/tests/*.rs) and $(lines "$here"/tests/golden/*.yaml) of golden cases | $(lines "$here"/plain/tests/*.rs) | $(lines $(go_sources)) |
| time of the tests, built | $(seconds cargo_test webserver-operator) | $(seconds cargo_test webserver-operator-plain) | $(seconds go_test) |
| memory at rest with $sites sites: resident (own) | $(memory kit "$kit" run) | $(memory plain "$plain" run) | $(memory go "$work/operator") |
| size of the program | $(du -m "$kit" | cut -f1) MB | $(du -m "$plain" | cut -f1) MB | $(du -m "$work/operator" | cut -f1) MB |
TABLE
