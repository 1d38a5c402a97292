#!/usr/bin/env bash
# Builds what Proa is measured against into target/tools, each program from its Go module: kube-apiserver (the module of
# tests/upstream), kube-controller-manager and kube-scheduler, etcd, and kine with SQLite (needs a C compiler).
# Silent when there is nothing to do. A program that cannot be built leaves NAME.log in target/tools; the measurement
# then says that it failed and why, and goes on with the others.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
tools=$root/target/tools

command -v go >/dev/null || {
    echo "make bench-peers builds upstream's programs: it needs Go 1.26 (or >= 1.21 that may fetch a toolchain), https://go.dev/dl" >&2
    exit 1
}
mkdir -p "$tools"
export GOTOOLCHAIN=auto GOFLAGS=-mod=readonly

# Version of a module that another one requires.
version() { awk -v module="$2" '$1 == "require" { sub("require ", "") } $1 == module { print $2; exit }' "$here/$1/go.mod"; }

# build MODULE NAME PACKAGE VERSION LDFLAGS
build() {
    local module=$1 name=$2 package=$3 version=$4 flags=$5
    local out=$tools/$name stamp=$tools/$name-$version.stamp
    [ -x "$out" ] && [ -e "$stamp" ] && return
    rm -f "$out" "$tools/$name-"v*.stamp
    echo "$name: building $version from its Go module (some minutes the first time)" >&2
    if (cd "$here/$module" && go build -p 2 -trimpath -buildvcs=false -ldflags "-s -w $flags" -o "$out.new" "$package") \
        >"$out.log" 2>&1; then
        mv -f "$out.new" "$out"
        rm -f "$out.log"
        touch "$stamp"
    else
        echo "$name: not built: $(tail -n1 "$out.log")" >&2
    fi
}

# Also builds the program of make diff-upstream, which is not needed here.
"$root/tests/tools/upstream.sh" || [ -x "$tools/kube-apiserver" ]

etcd=$(version etcd go.etcd.io/etcd/server/v3)
CGO_ENABLED=0 build etcd etcd go.etcd.io/etcd/server/v3 "$etcd" ""

kine=$(version kine github.com/k3s-io/kine)
CGO_ENABLED=1 build kine kine github.com/k3s-io/kine "$kine" "-X github.com/k3s-io/kine/pkg/version.Version=$kine"

kubernetes=$(version control-plane k8s.io/kubernetes)
minor=${kubernetes#v1.} minor=${minor%%.*} flags=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
done
for name in kube-scheduler kube-controller-manager; do
    CGO_ENABLED=0 build control-plane "$name" "k8s.io/kubernetes/cmd/$name" "$kubernetes" "$flags"
done
