#!/usr/bin/env bash
# Builds upstream's kube-apiserver at target/tools/kube-apiserver and the program that compares Proa with it at
# target/tools/upstream, both from tests/upstream. Silent when there is nothing to do.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
module=$root/tests/upstream
tools=$root/target/tools
version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 } $1 == "k8s.io/kubernetes" { print $2 }' "$module/go.mod")
stamp=$tools/kube-apiserver-$version.stamp

command -v go >/dev/null || { echo "make diff-upstream needs Go 1.26 (or >= 1.21 that may fetch a toolchain)" >&2; exit 1; }
mkdir -p "$tools"
cd "$module"
export CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly

if ! [ -x "$tools/kube-apiserver" ] || ! [ -e "$stamp" ]; then
    echo "kube-apiserver: building $version from its Go module (some minutes the first time)" >&2
    flags="-s -w" minor=${version#v1.} minor=${minor%%.*}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
        flags+=" -X $package.gitTreeState=clean"
    done
    go build -trimpath -buildvcs=false -ldflags "$flags" -o "$tools/kube-apiserver.new" k8s.io/kubernetes/cmd/kube-apiserver
    mv -f "$tools/kube-apiserver.new" "$tools/kube-apiserver"
    touch "$stamp"
fi
go build -buildvcs=false -o "$tools/upstream" .
