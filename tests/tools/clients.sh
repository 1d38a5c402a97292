#!/usr/bin/env bash
# Makes the Kubernetes clients that tests/clients runs, below target/clients:
#   go      client-go's and controller-runtime's test programs, Helm 3 and Helm 4, from the module tests/clients/go
#   python  a virtual environment with the package `kubernetes`
#   node    node_modules with @kubernetes/client-node
# `clients.sh go` makes one of them and exits with 3 if its toolchain is missing. Without an argument all are made, and a
# missing toolchain is only told, unless CI=true. Made again only when what they are made from changes.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "$0")/../.." && pwd)
sources=$root/tests/clients
outsiders=$root/examples/webserver-operator/go
out=$root/target/clients
missing=3
mkdir -p "$out"

# The newest Python that a Debian or a developer's machine has by this name.
python=${PYTHON:-python3}

# The Node.js of machines whose own is too old.
node=24.21.0

has_go() {
    [ "$(go env GOVERSION 2>/dev/null | sed 's/^go1\.\([0-9]*\).*/\1/')" -ge 21 ] 2>/dev/null ||
        { echo "Go >= 1.26 (or >= 1.21 that may fetch a toolchain)"; false; }
}
has_python() {
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        { echo "Python >= 3.10 with venv"; false; }
}
has_node() {
    command -v node >/dev/null && command -v npm >/dev/null || { echo "Node.js >= 18 with npm"; false; }
}

# The flags of tests/tools/kubectl.sh, so that both share what the compiler has done.
go_build() { CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly nice go "$1" -trimpath -buildvcs=false "${@:2}"; }

make_go() {
    cd "$sources/go"
    mkdir -p "$out/go"
    for package in clientgo operator; do
        go_build test -c -vet=off -ldflags "-s -w" -o "$out/go/$package" "./$package"
    done
    # The example's operator with controller-runtime.
    (cd "$outsiders" && go_build test -c -vet=off -ldflags "-s -w" -o "$out/go/webserver" .)
    for major in 3 4; do
        go_build build -ldflags "-s -w" -o "$out/go/helm$major" "helm.sh/helm/v$major/cmd/helm"
    done
}

make_python() {
    rm -rf "$out/python"
    "$python" -m venv "$out/python"
    "$out/python/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$sources/python/requirements.txt"
}

make_node() {
    rm -rf "$out/node"
    mkdir -p "$out/node/bin"
    cd "$out/node"
    cp "$sources/node/package.json" "$sources/node/package-lock.json" .
    ln -s "$sources/node/scenarios.mjs" scenarios.mjs
    npm ci --no-audit --no-fund --loglevel=error
    ln -s "$(type -P node)" bin/node
    # A Node.js that the client runs on, if the machine's own is older: npm has it as a package.
    local new='const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)'
    if ! bin/node -e "$new"; then
        npm install --no-audit --no-fund --no-package-lock --prefix runtime --loglevel=error "node@$node"
        ln -sf ../runtime/node_modules/node/bin/node bin/node
    fi
}

# What the client is made from, as one line.
inputs() {
    local from=()
    case $1 in
        go) from=("$sources/go" "$outsiders") && go version ;;
        python) from=("$sources/python/requirements.txt") && "$python" --version ;;
        node) from=("$sources/node/package.json" "$sources/node/package-lock.json") && node --version && echo "$node" ;;
    esac
    sed -n "/^make_$1()/,/^}/p" "$0"
    find "${from[@]}" -type f -print0 | sort -z | xargs -0 sha256sum
}

# Makes one client, unless it is there.
provide() {
    local client=$1 need stamp
    need=$("has_$client") || { echo "$need"; return $missing; }
    exec 9>"$out/$client.lock"
    flock 9
    stamp=$(inputs "$client" | sha256sum)
    [ -e "$out/$client.stamp" ] && [ "$(cat "$out/$client.stamp")" = "$stamp" ] && return 0
    rm -f "$out/$client.stamp"
    echo "clients: making those in $client" >&2
    # A shell of its own, because `set -e` does not hold inside a condition.
    "$0" make "$client" >&2 || return 1
    echo "$stamp" >"$out/$client.stamp"
}

case ${1:-} in
    make) "make_$2" ;;
    go | python | node) provide "$1" ;;
    "")
        for client in go python node; do
            need=$(provide "$client") && continue || code=$?
            if [ $code = $missing ] && [ "${CI:-}" != true ]; then
                echo "clients: those in $client are not tested, missing is $need" >&2
            else
                echo "clients: those in $client could not be made${need:+, missing is $need}" >&2
                exit 1
            fi
        done
        ;;
    *)
        echo "usage: $0 [go|python|node]" >&2
        exit 1
        ;;
esac
